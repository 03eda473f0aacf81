"""A glance at the pixels: cheap, deterministic, right about most plain charts, and no model."""

import io
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from PIL import Image, ImageChops

Trend = Literal["up", "down", "sideways"]

#: Width to which a picture is shrunk before it is looked at.
_GLANCE_PX = 240
#: Left, top, right and bottom edge of what is looked at: without title, price labels and dates.
_VIEW = (0.02, 0.14, 0.92, 0.90)
#: Of the width: how much of it the left and the right end of the curve are.
_END = 0.2
#: Of the height: a smaller difference between the ends is "sideways".
_LEVEL = 0.25
#: Out of 255: as different as this from the background counts as ink.
_INK = 25
#: Less ink than this share of the other end's means that the chart is filled, not drawn.
_FILLED = 0.2


@dataclass(frozen=True)
class ImageStats:
    """What a look at the image gave."""

    width: int
    height: int
    format: str
    #: Height of the curve at the left and the right end, 0 (bottom) to 1 (top); None: no curve seen.
    ends: tuple[float, float] | None

    @cached_property
    def trend(self) -> Trend:
        if self.ends is None or abs(self.ends[1] - self.ends[0]) < _LEVEL:
            return "sideways"
        return "up" if self.ends[1] > self.ends[0] else "down"


def look_at(data: bytes) -> ImageStats:
    """Raises ValueError when this is no image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            size, name = image.size, image.format or "image"
            image.draft("RGB", (_GLANCE_PX, _GLANCE_PX))
            ends = _ends(_ink(_shrunk(image)))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot identify image: {error}") from error
    return ImageStats(*size, name, ends)


def _shrunk(image: Image.Image) -> Image.Image:
    """On white, about _GLANCE_PX wide, in grey; averaging keeps thin lines visible."""
    if image.mode not in ("RGB", "L"):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("L").reduce(max(1, image.width // _GLANCE_PX))


def _ink(grey: Image.Image) -> Image.Image:
    """White where the picture differs from its most frequent shade."""
    left, top, right, bottom = _VIEW
    width, height = grey.size
    view = grey.crop((int(left * width), int(top * height), int(right * width) or 1, int(bottom * height) or 1))
    histogram = view.histogram()
    background = Image.new("L", view.size, histogram.index(max(histogram)))
    return ImageChops.difference(view, background).point([255 * (shade >= _INK) for shade in range(256)])


def _ends(ink: Image.Image) -> tuple[float, float] | None:
    """What both ends have in the same row is grid, price line or volume, so it is left out."""
    end = max(1, int(ink.width * _END))
    left, right = _rows(ink, 0, end), _rows(ink, ink.width - end, ink.width)
    own_left = [max(0.0, one - other) for one, other in zip(left, right, strict=True)]
    own_right = [max(0.0, other - one) for one, other in zip(left, right, strict=True)]
    less, more = sorted((sum(own_left), sum(own_right)))
    if more == 0:
        return None
    # Under a filled curve one end's ink lies within the other's: the whole of both is compared.
    if less < _FILLED * more:
        own_left, own_right = list(left), list(right)
    if not sum(own_left) or not sum(own_right):
        return None
    return _centre(own_left), _centre(own_right)


def _rows(ink: Image.Image, start: int, end: int) -> Sequence[float]:
    """The mean of each row between two columns."""
    strip = ink.crop((start, 0, end, ink.height)).convert("F")
    return array("f", strip.resize((1, ink.height), Image.Resampling.BOX).tobytes())


def _centre(rows: Sequence[float]) -> float:
    """The height of the ink's centre, 0 to 1."""
    return sum((len(rows) - index) * ink for index, ink in enumerate(rows)) / sum(rows) / len(rows)
