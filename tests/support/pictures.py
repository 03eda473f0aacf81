"""Images for the tests: whole, broken and hostile ones, made on the spot."""

import struct
import zlib
from io import BytesIO
from typing import Any

from hypothesis import strategies as st
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.effect_noise(size, 90).convert(mode)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data: a bomb, or a broken file."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def webp_of_size(kind: bytes, width: int, height: int) -> bytes:
    """A WebP file (RFC 9649) of one of its three kinds that claims a size, and has nothing else."""
    sizes = {
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
        b"VP8L": b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 ": b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height),
    }
    body = b"WEBP" + kind + struct.pack("<I", 10) + sizes[kind]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A small image of some format and mode with some bytes changed, dropped or added."""
    data = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        where = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "drop", "add", "extreme"]))
        if kind == "flip":
            data[where : where + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "cut":
            del data[where:]
        elif kind == "drop":
            del data[where : where + draw(st.integers(1, 20))]
        elif kind == "add":
            data[where:where] = draw(st.binary(min_size=1, max_size=20))
        else:
            extremes = [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\xff\xff", b"\x01\0\0\0"]
            data[where : where + 4] = draw(st.sampled_from(extremes))
    return _with_right_checksums(bytes(data)) if draw(st.booleans()) else bytes(data)


def _with_right_checksums(data: bytes) -> bytes:
    """A damaged PNG whose check sums are right, so that the damage gets past the first door."""
    if not data.startswith(b"\x89PNG"):
        return data
    repaired, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if at + 12 + length > len(data):
            break
        repaired += png_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return repaired + data[at:]


def _seeds() -> list[bytes]:
    frames = {"save_all": True, "append_images": [picture()]}
    seeds = [encoded(picture(), kind) for kind in FORMATS]
    seeds += [encoded(picture(), kind, **frames) for kind in ("PNG", "GIF", "WEBP", "TIFF", "MPO")]
    seeds += [encoded(picture(mode)) for mode in ("1", "L", "P", "LA", "RGBA", "I;16")]
    seeds += [encoded(picture(mode), "TIFF") for mode in ("1", "I;16", "I", "F", "CMYK", "P")]
    seeds += [encoded(picture(), "TIFF", compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate")]
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds += [encoded(picture(), kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]
    return seeds


_SEEDS = _seeds()


def icc_profile(description: str) -> bytes:
    """A display's profile (ICC.1:2001-04, matrix and curves) with the primaries of Display P3 and a gamma of 2.2."""
    text = description.encode("ascii")
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78) + bytes(-len(text) % 4),
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": _xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": _xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": _xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = bytes(8) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head = head + struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249))) + bytes(48)
    profile = head + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))
