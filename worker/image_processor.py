"""From an image file to what a vision model is shown: a PNG or JPEG of bounded side and bytes.

Charts live on thin lines, flat colours and small text. How each choice was made, measured on the sample
charts and on digits of 9 to 12 px at all sub-pixel positions:

- **Shrinking: BICUBIC across, BILINEAR down.** Of 3,304 axis labels of 10 to 18 px in two fonts, dark and light, shrunk
  to 2048 px, OCR reads 3,071 (mean of four readings); BICUBIC both ways, which costs a seventh more, 3,002, BILINEAR
  both ways, a fifth less, 3,020; of 1,800 of them 1,653, after LANCZOS 1,581, HAMMING 1,586. From 1280 to 1024 px the
  faintest black 1-px line keeps 114 of 255 levels where it stands upright, as candles' wicks do, 106 where it lies
  (LANCZOS 125, HAMMING 84; NEAREST 0: it drops lines).
- **PNG where it fits.** It is exact and small: a chart of 2048 x 1152 px has 0.3 MB. Its rows are deflated as they
  are: choosing a filter for each, as Pillow does, takes four times the CPU for 5 to 20 % less.
- **Else JPEG 4:4:4.** With halved colour (4:2:0, the usual) pixels of thin lines are off by up to 127 of 255
  levels at quality 92, with full colour by 34. First the quality falls (97 to 70), then the size. Of 324 labels of 11
  and 12 px in JPEGs of 2560 x 1440 px, shrunk, OCR reads 302 at quality 95, 307 at 97, 306 at 98, 308 from PNG.
- **What lost something already becomes JPEG** where it has to be changed: JPEG itself, WebP but for its lossless kind,
  AVIF, HEIC. PNG would preserve its noise, for a fifth (WebP) to a half (JPEG) more processor time. Of 1,248 labels of
  11 to 18 px in WebP and AVIF, shrunk, OCR reads 1,209 at quality 97, 1,211 from PNG, 1,203 at quality 95.

A clean small PNG or JPEG keeps its pixels byte for byte, and nothing else: EXIF, GPS, XMP, text, thumbnails and further
pictures stay here (worker/hf/picture_metadata.py). It isn't decoded, which would be most of what a job costs: its
parts, lengths and check sums say whether it is whole. Colours of a profile other than sRGB, Display P3 say, are
brought to sRGB: a model knows no other, and the profile doesn't go along.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.ImageFile import ImageFile

from jobs.charts.image_check import PILLOW_ERRORS, opened
from jobs.core.errors import ImageError
from worker.hf.color_profiles import foreign_profile, in_srgb
from worker.hf.picture_metadata import without_metadata
from worker.hf.png_encoder import png_of
from worker.hf.shrinking import Shrunk

#: EXIF's Orientation (tag 0x0112, EXIF 2.32 table 4.6.4-A) and what undoes it; 1 is upright.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_QUARTER_TURNS = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}

#: What every model can be shown as it is: grey, RGB, black and white, a palette.
_PLAIN_MODES = ("L", "RGB", "1", "P")

#: Qualities of JPEG, best first.
_QUALITIES = (97, 95, 88, 80, 70)

#: Pixels on a side beyond which libjpeg refuses to write (JPEG_MAX_DIMENSION).
_JPEG_MAX_SIDE = 65_500

#: Sides are multiplied by this until the bytes fit.
_SHRINK_STEP = 0.8

#: Pictures above 4K are decoded one at a time in a process: of 50 million pixels one takes up to 400 MB.
_LARGE_PIXELS = 3840 * 2160
_one_large_at_a_time = threading.Lock()


def preprocess_chart_image(
    data: bytes, *, max_side: int = 2048, max_bytes: int = 3_000_000
) -> tuple[bytes, dict[str, Any]]:
    """What to send for an image file: its bytes, and what they are.

    A PNG or JPEG that every model can be shown is sent undecoded, without its metadata. Any other file is decoded
    whole: first frame, turned as EXIF says; palette, CMYK and 16 bit brought to 8-bit grey or RGB of the sRGB colour
    space, transparency laid on white; no side longer than `max_side` pixels, at most `max_bytes` bytes.

    The second value is JSON-able: `format` (PNG or JPEG), `mime`, `width`, `height`, `bytes`, `changed`, and
    under `source` what the file was: `format`, `width`, `height` (as stored), `mode`, `bytes`, `animated`.

    Raises ImageError: not an image, too many pixels, damaged (anywhere in the first frame; of what is sent undecoded:
    its header, parts and check sums), impossible to fit. Raises MemoryError.
    """
    with opened(data) as image:
        source = _describe(image, len(data))
        if _is_clean(image, source, max_side=max_side):
            sent = _stripped(data, source["format"])
            if sent is not None and len(sent) <= max_bytes:
                return sent, _metadata(sent, source["format"], image.size, source, changed=sent is not data)
        lossy = _is_lossy(image, data)
        with _one_large_at_a_time if image.width * image.height > _LARGE_PIXELS else contextlib.nullcontext():
            # A JPEG of at least twice the sides that are wanted to a half, a quarter or an eighth, which is cheap.
            image.draft(None, _fitting(image.size, max_side))
            image.load()
            turn = _turn(image.getexif)
            picture = _shrunk(image, max_side, lies=turn in _QUARTER_TURNS, in_strips=not lossy)
    if turn is not None:
        turned = picture.whole.transpose(turn)
        picture = Shrunk(turned, turned.size)
    sent, kind, size = _encoded(picture, max_bytes, lossy=lossy)
    return sent, _metadata(sent, kind, size, source, changed=True)


def _describe(image: ImageFile, size: int) -> dict[str, Any]:
    return {
        # MPO is a JPEG that holds further pictures behind the first one, as some phones store them.
        "format": "JPEG" if image.format == "MPO" else image.format,
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "bytes": size,
        "animated": bool(getattr(image, "is_animated", False)),
    }


def _metadata(
    sent: bytes, kind: str, size: tuple[int, int], source: dict[str, Any], *, changed: bool
) -> dict[str, Any]:
    return {
        "format": kind,
        "mime": f"image/{kind.lower()}",
        "width": size[0],
        "height": size[1],
        "bytes": len(sent),
        "changed": changed,
        "source": source,
    }


def _is_lossy(image: ImageFile, data: bytes) -> bool:
    """Whether the pixels are an approximation. AVIF and HEIC can be exact, and hardly ever are."""
    return image.format in ("JPEG", "MPO", "AVIF", "HEIF") or (image.format == "WEBP" and _is_lossy_webp(data))


def _is_lossy_webp(data: bytes) -> bool:
    """By the first chunk that holds pixels (RFC 9649, 2.5 and 2.7)."""
    at = 12
    while (kind := data[at : at + 4]) not in (b"VP8 ", b"VP8L", b""):
        size = 16 if kind == b"ANMF" else int.from_bytes(data[at + 4 : at + 8], "little")  # of a frame its head
        at += 8 + size + size % 2
    return kind == b"VP8 "


def _turn(exif: Callable[[], Image.Exif]) -> Image.Transpose | None:
    with contextlib.suppress(*PILLOW_ERRORS):  # broken EXIF says nothing about the picture
        return _TURNS.get(exif().get(_ORIENTATION, 1))
    return None


def _stripped(data: bytes, kind: str) -> bytes | None:
    """The file without metadata; None if a decoder has to judge it."""
    with contextlib.suppress(ValueError):
        return without_metadata(data, kind)
    return None


def _is_clean(image: ImageFile, source: dict[str, Any], *, max_side: int) -> bool:
    """Whether every model can be shown this file, of which the header is known, as it is."""
    return (
        source["format"] in ("PNG", "JPEG")
        and image.mode in _PLAIN_MODES
        and not image.has_transparency_data
        and not source["animated"]
        and max(image.size) <= max_side
        # Not image.getexif: a PNG's decodes for what stands behind its pixels, where without_metadata looks.
        and _turn(partial(Image.Image.getexif, image)) is None
        and foreign_profile(image) is None
    )


def _flattened(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit grey or RGB, on white."""
    if image.mode.startswith("I;16"):
        return _grey(image.convert("I"), 0, 65_535)
    if image.mode in ("I", "F"):
        # Nobody says what is white in 32 bits: the lightest value there is.
        low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]  # one band
        return _grey(image, low, high)
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = layer.getchannel("A")
        if alpha.getextrema() == (255, 255):  # screenshots and Matplotlib's charts: nothing shines through
            return layer.convert("RGB")
        paper = Image.new("RGB", layer.size, "white")
        paper.paste(layer, mask=alpha)
        return paper
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _grey(image: Image.Image, low: float, high: float) -> Image.Image:
    """`low` to `high` spread over 0 to 255; Pillow's own conversion cuts off at 255."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError("its pixels are not numbers (NaN or infinite): export it again, as PNG")
    factor = 255 / ((high - low) or 1)
    half = 0.5 if image.mode == "I" else 0.0
    return image.point(lambda value: value * factor + (half - low * factor)).convert("L")


def _fitting(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """The size of the same shape whose longer side is at most `max_side` and whose shorter is at least 1."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrunk(image: ImageFile, max_side: int, **how: bool) -> Shrunk:
    """The picture without what only its file knows, in the size that goes out. `how`: see Shrunk."""
    profile = foreign_profile(image)
    flat = _flattened(image if profile is None else in_srgb(image, profile))
    size = _fitting(flat.size, max_side)
    if flat is image and (size[0] == image.width or size[1] == image.height):
        flat = image.copy()  # Shrunk may go on with the picture itself, and the file is closed soon
    return Shrunk(flat, size, **how)


def _encoded(picture: Shrunk, max_bytes: int, *, lossy: bool) -> tuple[bytes, str, tuple[int, int]]:
    """The best file of at most `max_bytes`: exact if possible, then lossy, then smaller."""
    for smaller in _sizes(picture):
        for kind, sent in _files(smaller, lossy=lossy):
            if len(sent) <= max_bytes:
                return sent, kind, smaller.size
    raise ImageError(f"no image fits into {max_bytes} bytes: raise IMAGE_MAX_BYTES")


def _sizes(picture: Shrunk) -> Iterator[Shrunk]:
    yield picture
    side = max(picture.size)
    while side := int(side * _SHRINK_STEP):
        yield Shrunk(picture.whole, _fitting(picture.size, side))


def _files(picture: Shrunk, *, lossy: bool) -> Iterator[tuple[str, bytes]]:
    """What the picture can be sent as, best first; each is made when it is asked for."""
    if not lossy:
        yield "PNG", png_of(picture)
    if max(picture.size) <= _JPEG_MAX_SIDE:
        yield from (("JPEG", _jpeg_of(picture.whole, quality)) for quality in _QUALITIES)
    if lossy:
        yield "PNG", png_of(picture)


def _jpeg_of(picture: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    picture.info.clear()  # Pillow would write comments and profiles of the file that it came from
    try:
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    except OSError as error:  # nothing else can go wrong where nothing is written to
        raise MemoryError(str(error)) from error
    return buffer.getvalue()
