"""What a PNG or JPEG says besides its pixels, taken out without decoding it anew. Pure.

A chart's file may tell who made it, where and with what: EXIF, GPS, XMP, text, thumbnails, further pictures behind the
first one. A model is shown pixels; the rest stays on this machine.
"""

import re
import struct
from collections.abc import Iterator

#: PNG chunks that the pixels need (PNG 3, 5.6); colour profiles are applied before (see image_processor).
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT"}
_PNG_START = b"\x89PNG\r\n\x1a\n"

#: JPEG markers (ITU T.81, table B.1): start and end of the image, of a scan; those without a length.
_SOI, _EOI, _SOS, _JFIF, _ADOBE, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xFE
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APPS = range(0xE0, 0xF0)

#: The end of a scan's data: a marker that is no stuffed byte, no restart and no padding.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: JFIF's fields before its thumbnail: identifier, version, units, densities.
_JFIF_FIELDS = 12


def without_metadata(data: bytes, kind: str) -> bytes:
    """The file with nothing but what its pixels need; `kind` is PNG or JPEG, and the file can be decoded.

    Returns `data` itself if there is nothing to take out. Raises ValueError for a structure that can't be followed.
    """
    pieces = _png_pieces(data) if kind == "PNG" else _jpeg_pieces(data)
    try:
        kept = b"".join(pieces)
    except (IndexError, struct.error) as error:
        raise ValueError(f"the {kind}'s parts can't be followed") from error
    return data if kept == data else kept


def _png_pieces(data: bytes) -> Iterator[bytes]:
    yield _PNG_START
    at = len(_PNG_START)
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name in _PNG_KEPT:
            yield data[at:end]
        elif name == b"IEND":
            yield data[at : at + 12]
            return
        at = end


def _jpeg_pieces(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    at = 2
    while True:
        at = data.index(b"\xff", at)
        while data[at + 1] == 0xFF:  # padding
            at += 1
        marker = data[at + 1]
        if marker == _EOI:
            yield data[at : at + 2]
            return
        if marker in _STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, end)
            end = found.start() if found else len(data)
            yield data[at:end]
            if not found:  # its end is missing: what is there is decoded
                return
        else:
            yield from _kept_segment(marker, data[at:end])
        at = end


def _kept_segment(marker: int, segment: bytes) -> Iterator[bytes]:
    """JFIF without its thumbnail and Adobe's, which say how colours are to be read; tables and frames as they are."""
    body = segment[4:]
    if marker == _JFIF and body.startswith(b"JFIF\0"):
        yield segment[:2] + struct.pack(">H", 16) + body[:_JFIF_FIELDS] + b"\0\0"
    elif marker == _ADOBE and body.startswith(b"Adobe"):
        yield segment[:2] + struct.pack(">H", 14) + body[:12]
    elif marker not in _APPS and marker != _COMMENT:
        yield segment
