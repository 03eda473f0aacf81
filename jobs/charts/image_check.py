"""Is this file an image that can be asked about? The cheap answer, given when it is submitted.

Pillow is the judge: its header check and its `verify()`. Damage that only a full decode shows is found by the
worker. Everything that Pillow raises becomes an `ImageError` here, or, where memory is too short to tell, an
`OutOfMemoryError`; nothing else leaves this module.
"""

import errno
import mmap
import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

# Registers the plug-ins of our formats; Image.open would else import all forty, in whichever thread is first.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from jobs.charts.heif import is_heif, register_heif
from jobs.charts.libtiff import silence_libtiff
from jobs.core.errors import ImageError, OutOfMemoryError

#: What counts as an image in a folder; compared in lower case.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff"}
)

#: The formats that Pillow may recognise, most frequent first; HEIF joins them for a file that says it is one.
#: No other of its parsers ever sees a file.
FORMATS = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        WebPImagePlugin.WebPImageFile,
        AvifImagePlugin.AvifImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)

#: Width x height of the largest picture: an 8K screen (33 M) and a 48-megapixel photo pass;
#: decoded it is 200 MB. Pillow's own limits, a warning at 89 M and an error at 179 M, are never reached.
MAX_PIXELS = 50_000_000

#: Bytes of the largest file. A chart is 10 kB to 2 MB; an uncompressed 4K BMP or TIFF is 33 MB.
MAX_FILE_BYTES = 64_000_000

#: All that Pillow raises on broken files, from fuzzing and its sources. LookupError stands for IndexError and
#: KeyError, RuntimeError for NotImplementedError too. MemoryError is none of them: mostly it is not the file's fault.
PILLOW_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

#: Bytes that decoding takes of a pixel at most (WebP keeps two canvases beside the picture); how many are decoded at
#: a time; and what else may come and go meanwhile: a little, or more where somebody says that it asked in vain.
_BYTES_PER_PIXEL, _AT_A_TIME, _BESIDE_BYTES, _ASKED_BYTES = 16, 4, 64_000_000, 512_000_000

#: What people call .png by mistake: how such a file begins (white space skipped, lower case) and what it is.
_LOOKALIKES = (
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"),
    (b"<?xml", "XML, perhaps an SVG drawing"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive or an Office document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image itself"),
)

#: How the files of our formats begin; one that does and is still not recognised is damaged, not foreign.
_SIGNATURES = (b"\x89PNG", b"\xff\xd8", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")

_PILLOW_FILTER = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image file says of itself: Pillow's name of the format; width and height as stored, pixels."""

    format: str
    width: int
    height: int
    #: Pillow's mode: RGB, RGBA, P, L, 1, CMYK, I;16, ...
    mode: str


def check_image(data: bytes) -> ImageHeader:
    """Judge an image file by its header, its size and Pillow's `verify()`, without decoding it.

    PNG is checked whole (the check sums of all chunks), the other formats' headers only.

    Raises ImageError: empty, not an image, damaged, more than MAX_PIXELS.
    """
    with opened(data) as image:
        header = ImageHeader(format=image.format or "unknown", width=image.width, height=image.height, mode=image.mode)
        image.verify()
    return header


@contextmanager
def opened(data: bytes) -> Iterator[ImageFile]:
    """Pillow's lazy image, at most MAX_PIXELS; what Pillow raises in the block leaves it as ImageError.

    Raises OutOfMemoryError where too little memory may be the reason.
    """
    _silence_pillow()
    _check_pixels(_webp_size(data))  # libwebp makes room for all pixels to read the header
    image = _recognised(data)
    try:
        _check_pixels(image.size)
        if image.format == "TIFF":
            silence_libtiff()
        yield image
    except (MemoryError, *PILLOW_ERRORS) as error:
        _check_memory(error, image.size)
        raise ImageError(f"the {image.format} image is damaged ({_reason(error)}): export it again") from error
    finally:
        image.close()


def read_bounded(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES, *, called: str | None = None) -> bytes:
    """The bytes of a regular file, at most `max_bytes`; a pipe or device is refused without waiting for it.

    Raises ImageError naming the path, as it is `called`: missing, unreadable, not a regular file, too large. Its
    `__cause__` is the OSError, for callers to whom it matters whether the machine (EMFILE, EIO, ESTALE) is to blame.
    """
    name = repr(called or os.fspath(path))  # repr: names hold newlines, escape sequences and bytes that are no UTF-8
    try:
        # O_NONBLOCK: opening a FIFO without a writer would otherwise wait for one for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _read_regular(descriptor, name, max_bytes)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ImageError(f"{name} can't be read: {_os_reason(error)}") from error


def _read_regular(descriptor: int, name: str, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise ImageError(f"{name} is {kind}, not an image file")
    data = b""
    if status.st_size <= max_bytes:
        # One byte more than there should be: the file may be growing. One read nearly always gets it all; the next one
        # asks for a byte, as room for a million would be made and thrown away for every chart.
        data = os.read(descriptor, status.st_size + 1)
        while len(data) <= max_bytes and (more := os.read(descriptor, 1)):
            data += more + os.read(descriptor, min(1_000_000, max_bytes - len(data)))
    if max(len(data), status.st_size) > max_bytes:
        raise ImageError(f"{name} is larger than {max_bytes:,} bytes: save the chart at a smaller size")
    return data


def _recognised(data: bytes) -> ImageFile:
    if not data:
        raise ImageError("the file is empty (0 bytes): copy or export it again")
    try:
        if is_heif(data):
            return Image.open(BytesIO(data), formats=(register_heif(),))
        return Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(_why_not_an_image(data)) from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels("the image")) from error
    except (MemoryError, *PILLOW_ERRORS) as error:
        _check_memory(error, _webp_size(data))
        raise ImageError(f"the image's header is damaged ({_reason(error)}): export it again") from error


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP file; (0, 0) of any other."""
    kind, body = data[:4] + data[8:16], data[20:30]
    if kind == b"RIFFWEBPVP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"RIFFWEBPVP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"RIFFWEBPVP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return 0, 0


def _check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageError(_too_many_pixels(f"{size[0]} x {size[1]}"))


def _check_memory(error: Exception, size: tuple[int, int]) -> None:
    """Raise OutOfMemoryError for what failed in Pillow, unless all that is decoded at a time would have found room.

    Decoders say so in words of any kind ("broken data stream"), and a broken header may ask for the impossible: so
    not the words decide but whether there is room. What others may have freed since is counted in.
    """
    asked = isinstance(error, MemoryError) or "memory" in str(error).lower()
    needed = size[0] * size[1] * _BYTES_PER_PIXEL * _AT_A_TIME + (_ASKED_BYTES if asked else _BESIDE_BYTES)
    try:
        mmap.mmap(-1, needed).close()
    except (OSError, MemoryError):
        what = f"an image of {size[0]} x {size[1]} pixels" if size[0] else "an image's header"
        raise OutOfMemoryError(
            f"not enough memory to read {what} ({_reason(error)}): raise the limit (ulimit -v, the container's), "
            "or lower --concurrency"
        ) from error


def _why_not_an_image(data: bytes) -> str:
    if data.startswith(_SIGNATURES) or is_heif(data) or data[4:12] in (b"ftypavif", b"ftypavis"):
        return "the image's header is damaged or cut off: export it again"
    start = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    lookalike = next((what for signature, what in _LOOKALIKES if start.startswith(signature)), "not an image")
    return (
        f"this is {lookalike}: PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF is needed, whatever the file's name says"
    )


def _too_many_pixels(what: str) -> str:
    return f"{what} has more than {MAX_PIXELS:,} pixels: save the chart at a smaller size"


def _reason(error: BaseException) -> str:
    """Pillow's words on one short line; they may quote the file."""
    words = " ".join(str(error).split())
    return "".join(filter(str.isprintable, words[:100])) or type(error).__name__


def _os_reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return _reason(error)
    if error.errno == errno.ELOOP:
        return "its symbolic links lead in a circle"
    return os.strerror(error.errno)


def _silence_pillow() -> None:
    """Keep Pillow's warnings (odd TIFF tags, broken animations) off the screen: what matters is raised.

    One filter, added once and left there: `warnings.catch_warnings` isn't thread-safe before Python 3.14.
    It is looked for at every call because whoever resets the filters, pytest for one, takes it away.
    """
    if _PILLOW_FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
