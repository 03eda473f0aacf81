"""libtiff writes a line on stderr for each oddity of a file; what comes of the file is ours to tell."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def silence_libtiff() -> None:
    """From now on it says nothing in this process. Elsewhere than on Linux it is left as it is."""
    import ctypes  # who reads no TIFF waits for no loader

    for path in _loaded("libtiff"):
        with suppress(OSError, AttributeError):  # another library of that name
            library = ctypes.CDLL(path)
            for handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                handler(None)


def _loaded(name: str) -> Iterator[str]:
    """The files of this process's libraries with this name."""
    with suppress(OSError):
        maps = Path("/proc/self/maps").read_text()
        yield from {line.split(maxsplit=5)[5] for line in maps.splitlines() if name in line}
