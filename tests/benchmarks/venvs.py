"""Two environments: the peers', so that chartq's stays clean, and chartq's as a user installs it."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_FOLDER = ROOT / ".venv-bench"

PEERS = ("rq", "celery[redis]", "dramatiq[redis]", "huey", "redis", "requests", "tenacity")


@dataclass(frozen=True)
class Venv:
    """A virtual environment."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return subprocess.run(
            [self.program("python"), "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()

    def install(self, *wanted: str) -> None:
        pip = [self.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"pip install {' '.join(wanted)} failed:\n{done.stderr}")


def peers() -> Venv:
    """Made once; `make clean` takes it away."""
    made = _made("peers")
    mark = made.folder / "installed"
    if not mark.exists() or mark.read_text() != repr(PEERS):
        made.install("--upgrade", *PEERS)
        mark.write_text(repr(PEERS))
    return made


def chartq() -> Venv:
    """Holds the source as it stands now, and no more than a user's environment would."""
    made = _made("chartq")
    made.install(str(ROOT))
    made.install("--force-reinstall", "--no-deps", str(ROOT))  # the version is the same, the source may not be
    return made


def _made(name: str) -> Venv:
    folder = _FOLDER / name
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / ".gitignore").write_text("*\n")
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    return Venv(folder)
