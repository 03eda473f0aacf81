"""Whether this machine's workers get on: each stamps a file of its own with every round of its loop.

The file is locked (flock) as long as the worker lives, so that a file left by a killed one, or a process id that is
in use again, says nothing false. The stamp is the monotonic clock, which all processes of a machine share and
nobody sets. A loop that hangs and a process that is stopped (SIGSTOP) have in common that their stamp grows old.
"""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from jobs.broker.file_lock import is_locked, try_lock
from jobs.config.home import make_private_folder

log = logging.getLogger("chartq.worker")

#: A file that a killed worker left behind goes when another one starts, so long after its last stamp.
_FORGOTTEN_S = 3600.0

#: Every stamp is as long as the first, and written over it: no room is needed, however full the disk.
_STAMP = "{:020.3f}\n"

_SUFFIX = ".pulse"

#: Each goes wrong only if another process does something in the same microseconds.
_TRIES = 100


class LivenessFile:
    """A worker's stamp. Without a file (nowhere to write) it does nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def stamp(self) -> None:
        """A round of the loop begins. Never raises; takes microseconds."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, _STAMP.format(time.monotonic()).encode(), 0)


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    """A worker that lives, and how long ago a round of its loop began."""

    pid: int
    age_s: float


def liveness_folder(home: Path) -> Path:
    """Where the workers of this home stamp: in the home if there is one.

    A worker that was killed leaves its stamp; in the home it is in nobody's way, and goes with it.
    """
    return home / "pulse" if home.is_dir() else _homeless_folder(home)


def _homeless_folder(home: Path) -> Path:
    """In a container often the one place to write."""
    which = hashlib.blake2s(os.fsencode(home), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"chartq-{os.geteuid()}-{which}"


@contextmanager
def liveness_file(home: Path) -> Iterator[LivenessFile]:
    """This process's stamp, as long as it works."""
    try:
        path, descriptor = _made(liveness_folder(home))
    except OSError as error:
        log.warning("`chartq health` won't see this worker: %s", error)
        yield LivenessFile(None)
        return
    try:
        made = LivenessFile(descriptor)
        made.stamp()
        yield made
    finally:
        with suppress(OSError):  # others stamp there as well
            path.unlink()
            path.parent.rmdir()
        os.close(descriptor)


def live_workers(home: Path) -> list[LiveWorker]:
    """The workers of this home on this machine that live, hanging or not."""
    try:
        # A home may have been made since a worker began.
        paths = [
            path for folder in {liveness_folder(home), _homeless_folder(home)} for path in folder.glob(f"*{_SUFFIX}")
        ]
    except OSError:
        return []
    return [found for path in sorted(paths) if (found := _read(path)) is not None]


def _made(folder: Path) -> tuple[Path, int]:
    path = folder / f"{os.getpid()}-{uuid4().hex[:8]}{_SUFFIX}"
    for _ in range(_TRIES):
        make_private_folder(folder)
        _clear(folder)
        with suppress(FileNotFoundError):  # somebody has just left, and took the folder along
            if (descriptor := try_lock(path)) is not None:
                return path, descriptor
        time.sleep(0.01)  # or is just looking whether we live
    raise TimeoutError(f"{path} can't be locked")


def _clear(folder: Path) -> None:
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _FORGOTTEN_S and not is_locked(path):
                path.unlink()


def _read(path: Path) -> LiveWorker | None:
    try:
        if not is_locked(path):
            return None
        stamped, pid = float(path.read_text()), int(path.name.partition("-")[0])
    except (OSError, ValueError):  # it is just beginning or leaving
        return None
    return LiveWorker(pid=pid, age_s=max(0.0, time.monotonic() - stamped))
