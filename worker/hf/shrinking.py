"""A picture made smaller, first across, then down: the two steps that Pillow makes of one, with a filter for each.

Rows of the result are made when they are asked for: a PNG is written strip by strip, and never is in memory whole.
Why these filters: worker/image_processor.py.
"""

from functools import cached_property

from PIL import Image

_ACROSS, _DOWN = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR

#: From twice so many times the size on, pixels are averaged first, which is cheap.
_GAP = 3.0

#: ... and rows by themselves would be averaged from other places than in the whole.
_STRIPS_UP_TO = 2 * _GAP


class Shrunk:
    """`picture` in `size`, which is no larger. `lies`: what goes down here will go across when it is turned."""

    def __init__(self, picture: Image.Image, size: tuple[int, int], *, lies: bool = False) -> None:
        self.size, self.mode = size, picture.mode
        half_way = (picture.width, size[1]) if lies else (size[0], picture.height)
        self._half_way = picture if half_way == picture.size else picture.resize(half_way, _ACROSS, reducing_gap=_GAP)

    @cached_property
    def whole(self) -> Image.Image:
        """All of it."""
        if self._half_way.size == self.size:
            return self._half_way
        return self._half_way.resize(self.size, _DOWN, reducing_gap=_GAP)

    def rows(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to the one before `bottom`, as they are in the whole."""
        width, height = self._half_way.size
        scale = height / self.size[1]
        if width != self.size[0] or scale >= _STRIPS_UP_TO:
            return self.whole.crop((0, top, self.size[0], bottom))
        box = (0, top * scale, width, min(bottom * scale, height))
        return self._half_way.resize((width, bottom - top), _DOWN, box=box)
