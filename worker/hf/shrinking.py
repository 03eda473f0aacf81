"""A picture made smaller, across and down: the two steps that Pillow makes of one, with a filter for each.

Rows of the result are made when they are asked for, if across came first: a PNG is written strip by strip, and never is
in memory whole. Otherwise the filter that looks at fewer pixels goes first, and leaves fewer to the other: a sixth less
work from 3840 to 2048 px. Why these filters: worker/image_processor.py.
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

    def __init__(
        self, picture: Image.Image, size: tuple[int, int], *, lies: bool = False, in_strips: bool = True
    ) -> None:
        self.size, self.mode = size, picture.mode
        across, down = (_DOWN, _ACROSS) if lies else (_ACROSS, _DOWN)
        if in_strips != lies:
            self._half_way, self._then = _resized(picture, (size[0], picture.height), across), down
        else:
            self._half_way, self._then = _resized(picture, (picture.width, size[1]), down), across

    @cached_property
    def whole(self) -> Image.Image:
        """All of it."""
        return _resized(self._half_way, self.size, self._then)

    def rows(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to the one before `bottom`, as they are in the whole."""
        width, height = self._half_way.size
        scale = height / self.size[1]
        if width != self.size[0] or scale >= _STRIPS_UP_TO:
            return self.whole.crop((0, top, self.size[0], bottom))
        box = (0, top * scale, width, min(bottom * scale, height))
        return self._half_way.resize((width, bottom - top), self._then, box=box)


def _resized(picture: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, how, reducing_gap=_GAP)
