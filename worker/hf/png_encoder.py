"""PNG with nothing but pixels (PNG 3, https://www.w3.org/TR/png-3/), written for little CPU."""

import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

from PIL import Image

#: Colour types (PNG 3, 6.1) of Pillow's modes, and bytes a pixel.
_COLOURS = {"L": (0, 1), "RGB": (2, 3)}

#: Of a drawn chart 1 to 3 take the same time, and 4 twice as long for 5 % less.
_LEVEL = 3

#: Bytes of rows that are made and deflated at a time, below the size that our malloc takes new pages for
#: (worker/engine/malloc.py): in strips of 1 MB a picture costs an eighth more.
_STRIP_BYTES = 65_000


class Pixels(Protocol):
    """A grey or RGB picture of which rows can be had."""

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def mode(self) -> str: ...

    def rows(self, top: int, bottom: int) -> Image.Image: ...


def png_of(picture: Pixels) -> bytes:
    """A PNG whose rows are not filtered: charts are flat, and filters take most time."""
    header = struct.pack(">IIBBBBB", *picture.size, 8, _COLOURS[picture.mode][0], 0, 0, 0)
    pixels = b"".join(_deflated(picture))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _deflated(picture: Pixels) -> Iterator[bytes]:
    """All rows, each behind a 0: no filter. Pillow fills rows up with zeros at their end, so one has to come first."""
    deflate = zlib.compressobj(_LEVEL)
    yield deflate.compress(b"\0")
    width, height = picture.size
    row_bytes = width * _COLOURS[picture.mode][1] + 1
    at_a_time = max(1, _STRIP_BYTES // (width * 4))  # Pillow's pixels have four bytes
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        rows = picture.rows(top, bottom).tobytes("raw", picture.mode, row_bytes, 1)
        yield deflate.compress(rows if bottom < height else rows[:-1])
    yield deflate.flush()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + zlib.crc32(name + content).to_bytes(4)
