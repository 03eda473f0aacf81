"""Files that appear at their place whole or not at all."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from jobs.core.text import visible


@contextmanager
def data_file(path: Path | None) -> Iterator[TextIO]:
    """Stdout (`None` or `-`), or a text file that appears at `path` whole or not at all. Raises OSError."""
    if path is None or str(path) == "-":
        yield cast("TextIO", _Terminal(sys.stdout)) if sys.stdout.isatty() else sys.stdout
    elif path.exists() and not path.is_file():  # a device or a pipe, /dev/stdout say: it stays what it is
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    else:
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            yield file


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new file in `path`'s folder to write to; at the end of the block it takes `path`'s place. Raises OSError."""
    import tempfile  # with its compressors a twentieth of a command's start

    path = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".chartq-", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(_mode_of(path))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _Terminal:
    """Shows what it is given, whatever that would have the terminal do."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(visible(text))

    def flush(self) -> None:
        self._terminal.flush()


def _mode_of(path: Path) -> int:
    """A file that is there keeps its mode: who made it private wants it so."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
