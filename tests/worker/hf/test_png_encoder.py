"""worker.hf.png_encoder: small, exact, and nothing but pixels."""

import struct
from io import BytesIO

import pytest
from PIL import Image
from support.pictures import encoded, picture

from worker.hf.png_encoder import png_of
from worker.hf.shrinking import Shrunk


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3000, 3), (3000, 4), (3000, 5), (3000, 8), (20_000, 3)])
def test_every_pixel_comes_back(mode: str, size: tuple[int, int]) -> None:
    wanted = picture(mode, size)
    data = png_of(Shrunk(wanted, wanted.size))
    with Image.open(BytesIO(data)) as image:
        assert (image.mode, image.size) == (mode, size)
        assert image.tobytes() == wanted.tobytes()
    with Image.open(BytesIO(data)) as image:
        image.verify()


def test_there_is_nothing_in_it_but_pixels() -> None:
    wanted = picture()
    wanted.info.update(comment="secret", icc_profile=b"secret", dpi=(300, 300))
    data, names, at = png_of(Shrunk(wanted, wanted.size)), [], 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        names.append(name)
        at += 12 + length
    assert names == [b"IHDR", b"IDAT", b"IEND"]


def test_a_flat_chart_is_small() -> None:
    flat = Image.new("RGB", (1000, 500), "white")
    flat.paste("black", (0, 250, 1000, 252))
    assert len(png_of(Shrunk(flat, flat.size))) < 2 * len(encoded(flat)) + 10_000
