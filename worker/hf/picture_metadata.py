"""What a PNG or JPEG says besides its pixels, taken out without decoding it. Pure.

A chart's file may tell who made it, where and with what: EXIF, GPS, XMP, text, thumbnails, further pictures behind the
first one. A model is shown pixels; the rest stays on this machine. On the way the file's structure is followed to its
end, so that one which is cut off or changed is left to the decoder.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence

#: PNG chunks that the pixels need (PNG 3, 5.6); colour profiles are applied before (see image_processor).
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT"}
_PNG_START = b"\x89PNG\r\n\x1a\n"

#: Chunks behind the pixels that change nothing in how they look, but for text that may say how to turn the picture.
_PNG_REMARKS = {b"tIME", b"tEXt", b"zTXt", b"iTXt"}
_PNG_TURNING = (b"Raw profile type ", b"XML:com.adobe.xmp\0")

#: A deflated stream's most bytes for one of its own (zlib's manual, "Maximum Expansion Factor", rounded up).
_DEFLATE_MOST = 1040

#: JPEG markers (ITU T.81, table B.1): start and end of the image, of a scan; those without a length.
_SOI, _EOI, _SOS, _JFIF, _ADOBE, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE, 0xFE
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APPS = range(0xE0, 0xF0)

#: Frames that every decoder knows: baseline, extended, progressive, all with Huffman codes; and those with others.
_FRAMES = {0xC0, 0xC1, 0xC2}
_ODD_FRAMES = set(range(0xC0, 0xD0)) - _FRAMES - {0xC4}

#: The end of a scan's data: a marker that is no stuffed byte, no restart and no padding.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: JFIF's fields before its thumbnail: identifier, version, units, densities.
_JFIF_FIELDS = 12


def without_metadata(data: bytes, kind: str) -> bytes:
    """The file with nothing but what its pixels need; `kind` is PNG or JPEG.

    Returns `data` itself if there is nothing to take out. Raises ValueError for a structure that is broken, ends early,
    or isn't the plain one: a decoder has to judge it.
    """
    try:
        pieces = list(_png_pieces(data) if kind == "PNG" else _jpeg_pieces(data))
    except (IndexError, struct.error) as error:
        raise ValueError(f"the {kind} ends early") from error
    return data if _is_made_of(data, pieces) else b"".join(pieces)


def _is_made_of(data: bytes, pieces: Sequence[bytes | memoryview]) -> bool:
    """Whether `pieces` are all of it, found out without a copy: fresh memory costs more than its bytes."""
    at = 0
    for piece in pieces:
        if not data.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(data)


def _png_pieces(data: bytes) -> Iterator[bytes | memoryview]:
    yield _PNG_START
    view, at, pixels = memoryview(data), len(_PNG_START), 0
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name in _PNG_KEPT or name == b"IEND":
            if view[end - 4 : end] != zlib.crc32(view[at + 4 : end - 4]).to_bytes(4):
                raise ValueError("the PNG is damaged")
            yield view[at:end]
        if name == b"IEND":
            break
        if name == b"IDAT":
            pixels += length
        elif pixels and (name not in _PNG_REMARKS or data.startswith(_PNG_TURNING, at + 8)):
            raise ValueError("the PNG's pixels are followed by what says how they look")
        at = end
    width, height = struct.unpack_from(">II", data, len(_PNG_START) + 8)
    if height * (width // 8 + 1) > pixels * _DEFLATE_MOST:
        raise ValueError("the PNG's pixels can't be in so few bytes")


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
        if marker in _ODD_FRAMES:
            raise ValueError("the JPEG's coding is a rare one")
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, end)
            if not found:
                raise ValueError("the JPEG ends early")
            end = found.start()
            yield data[at:end]
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
