"""`jobs` and `worker` are common names: make sure that they are ours in this environment."""

import sysconfig
from pathlib import Path

from jobs.core.errors import InstallationError

_NAMES = ("jobs", "worker")


def check_import_names(site_folders: set[Path] | None = None) -> None:
    """Raises InstallationError if another installed distribution brings a `jobs` or `worker` of its own.

    Looks for the names in the installer's RECORD files; `importlib.metadata.packages_distributions` parses them
    all, which takes 0.2 s where this takes 10 ms.
    """
    folders = site_folders or {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    for folder in folders:
        for record in folder.glob("*.dist-info/RECORD"):
            owner = record.parent.name.partition("-")[0]
            brought = [name for name in _NAMES if _brings(record, name)]
            if brought and owner.lower() != "chartq":
                raise InstallationError(
                    f"the installed distribution {owner} brings a package named {brought[0]!r}, as chartq does: "
                    "install chartq into an environment of its own"
                )


def _brings(record: Path, name: str) -> bool:
    try:
        content = record.read_bytes()
    except OSError:
        return False  # being installed or removed just now
    starts = (f"{name}/".encode(), f"{name}.py,".encode())
    return content.startswith(starts) or any(b"\n" + start in content for start in starts)
