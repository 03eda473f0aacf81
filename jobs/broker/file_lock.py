"""Advisory locks on files (flock): held by an open file, and gone with the last process that has it open.

So a lock needs no cleaning up after SIGKILL, and says "someone is alive" without pid files, also across
containers that share the folder. Descriptors are close-on-exec; a child gets one only when it is handed over.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

with suppress(ImportError):  # Windows has none; `jobs.broker.embedded` refuses before anything here is called
    import fcntl

#: Between two looks at a lock that someone else holds.
_POLL_S = 0.02


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """The descriptor that holds the lock (`os.close` gives it back), or None while someone else has it.

    Raises OSError if the file can't be opened or the file system knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether someone holds the lock alone."""
    descriptor = try_lock(path, shared=True)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the file that is open still is the one at its place."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def is_alone(descriptor: int) -> bool:
    """Whether nobody else holds the lock, which may be lost by asking."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock alone. Raises TimeoutError if someone else keeps it for `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} has been locked by another process for {timeout_s:g} s")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)
