"""HEIC: read with the extra, a sentence without it."""

import sys
from io import BytesIO

import pytest
from PIL import Image
from support.pictures import encoded, picture

from jobs.charts.heif import is_heif
from jobs.charts.image_check import check_image
from jobs.core.errors import ImageError
from worker.image_processor import preprocess_chart_image

#: The first box of a photo from a phone: all that is needed to know what it is.
PHONE = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def box(major: bytes, *brands: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(brands)
    return (len(body) + 4).to_bytes(4) + body + b"avifheic"  # what comes behind the box counts for nothing


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (PHONE, True),
        (box(b"heic"), True),
        (box(b"mif1", b"miaf"), True),
        (box(b"mif1", b"heix"), True),
        (box(b"mif1", b"avif"), False),
        (box(b"avif", b"mif1"), False),
        (box(b"mp42", b"isom"), False),
        (encoded(picture(), "AVIF"), False),
        (encoded(picture(), "PNG"), False),
        (b"", False),
        (b"\xff\xff\xff\xffftyphe", False),
    ],
)
def test_a_file_says_whether_it_is_heif(data: bytes, wanted: bool) -> None:
    assert is_heif(data) is wanted


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'chartq\[heic\]'"):
        check_image(PHONE)


def test_a_heic_photo_is_shown() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = encoded(Image.new("RGB", (60, 40), "red"), "HEIF")
    header = check_image(data)
    assert (header.format, header.width, header.height) == ("HEIF", 60, 40)
    sent, metadata = preprocess_chart_image(data)
    assert (metadata["format"], metadata["source"]["format"]) == ("JPEG", "HEIF")
    red, green, blue = Image.open(BytesIO(sent)).getpixel((30, 20))  # type: ignore[misc]  # of an RGB image
    assert red > 240
    assert green < 15
    assert blue < 15


def test_a_damaged_heic_photo_is_a_typed_error() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(ImageError, match="damaged"):
        check_image(PHONE)
