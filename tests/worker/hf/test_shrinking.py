"""worker.hf.shrinking: strips of a picture are what they are in the whole."""

import pytest
from PIL import Image, ImageChops
from support.pictures import picture

from worker.hf.shrinking import Shrunk


@pytest.mark.parametrize("how", [{}, {"lies": True}, {"in_strips": False}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((256, 144), (205, 115)),
        ((300, 200), (300, 200)),
        ((97, 331), (30, 102)),
        ((40, 3000), (3, 225)),
        ((200, 900), (200, 3)),
        ((3000, 1), (50, 1)),
    ],
)
def test_rows_are_those_of_the_whole(
    mode: str, size: tuple[int, int], wanted: tuple[int, int], how: dict[str, bool]
) -> None:
    shrunk = Shrunk(picture(mode, size), wanted, **how)
    assert (shrunk.whole.mode, shrunk.whole.size) == (mode, wanted)
    for step in (1, 7, 64):
        together = Image.new(mode, wanted)
        for top in range(0, wanted[1], step):
            together.paste(shrunk.rows(top, min(top + step, wanted[1])), (0, top))
        histogram = ImageChops.difference(together, shrunk.whole).convert("L").histogram()
        assert not any(histogram[2:])  # Pillow takes the places of strips as 32-bit floats


def test_what_isnt_shrunk_is_the_picture_itself() -> None:
    same = picture()
    assert Shrunk(same, same.size).whole is same
