"""Pictures to ask about: PNG files of a wanted size, each another picture."""

import os
import struct
import zlib
from pathlib import Path

from support.pictures import png_chunk

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_charts(folder: Path, count: int, size_bytes: int) -> list[Path]:
    """`count` files of about `size_bytes`: noise, so that PNG can't make them smaller, in folders of a thousand."""
    side = max(4, int((size_bytes / 3) ** 0.5))
    noise = os.urandom(side * side * 3)
    paths = []
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"chart-{number:06d}.png"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(side, struct.pack(">q", number) + noise[8:]))
        paths.append(path)
    return paths


def _png(side: int, pixels: bytes) -> bytes:
    stride = side * 3
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows, 0)), png_chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(parts)
