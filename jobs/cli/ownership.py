"""`jobs` and `worker` are common names: make sure that they are ours in this environment."""

import os
import sysconfig
from pathlib import Path

from jobs.core.errors import InstallationError

_NAMES = ("jobs", "worker")


def check_import_names(site_folders: set[Path] | None = None) -> None:
    """Raises InstallationError if another installed distribution brings a `jobs` or `worker` of its own.

    Looks for the names in the installer's RECORD files; `importlib.metadata.packages_distributions` parses them
    all, which takes 0.2 s where this takes 10 ms. Where none of the names stands, as beside an editable install,
    nobody has brought one.
    """
    folders = site_folders or {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    for folder in folders:
        names = [name for name in _NAMES if (folder / name).exists() or (folder / f"{name}.py").exists()]
        if names:
            _check_records(folder, names)


def _check_records(folder: Path, names: list[str]) -> None:
    for entry in os.listdir(folder):
        owner = entry.partition("-")[0]
        if not entry.endswith(".dist-info") or owner.lower() == "chartq":
            continue
        if brought := _first_brought(folder / entry / "RECORD", names):
            raise InstallationError(
                f"the installed distribution {owner} brings a package named {brought!r}, as chartq does: "
                "install chartq into an environment of its own"
            )


def _first_brought(record: Path, names: list[str]) -> str | None:
    try:
        content = b"\n" + record.read_bytes()
    except OSError:
        return None  # being installed or removed just now, or brought by another installer
    brought = (name for name in names if f"\n{name}/".encode() in content or f"\n{name}.py,".encode() in content)
    return next(brought, None)
