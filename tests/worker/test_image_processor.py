"""worker.image_processor: what a model is shown."""

import contextlib
import json
import random
import struct
import threading
import zlib
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageOps, PngImagePlugin
from support.pictures import FORMATS, encoded, icc_profile, mutations, picture, png_chunk, png_of_size

from jobs.charts.image_check import MAX_PIXELS, PILLOW_ERRORS, check_image
from jobs.core.errors import ImageError
from worker import image_processor

#: Small limits: what is shrunk here is quick to make.
preprocess_chart_image = partial(image_processor.preprocess_chart_image, max_side=1024, max_bytes=1_000_000)

WHITE = (255, 255, 255)


def shown(data: bytes, **limits: int) -> tuple[Image.Image, dict[str, Any]]:
    """The picture that the model sees, and the metadata, checked against each other."""
    sent, metadata = preprocess_chart_image(data, **limits)
    image = Image.open(BytesIO(sent))
    image.load()
    assert image.mode in ("L", "RGB") or image.mode == metadata["source"]["mode"] in ("1", "P")
    assert not image.has_transparency_data
    assert metadata == json.loads(json.dumps(metadata))
    assert metadata["format"] == image.format
    assert metadata["mime"] == image.get_format_mimetype()
    assert (metadata["width"], metadata["height"]) == image.size
    assert metadata["bytes"] == len(sent)
    assert metadata["changed"] == (sent != data)
    assert metadata["source"]["bytes"] == len(data)
    return image, metadata


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def corner_marked() -> Image.Image:
    """White, 60 x 40, with red in the top left corner and blue in the top right one."""
    image = Image.new("RGB", (60, 40), "white")
    image.paste("red", (0, 0, 15, 15))
    image.paste("blue", (45, 0, 60, 15))
    return image


def chart(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    rng = random.Random(7)
    points = [(x, height // 2 + rng.randint(-height // 3, height // 3)) for x in range(0, width, 9)]
    draw.line(points, fill="#2962ff", width=2)
    for y in range(0, height, 40):
        draw.line((0, y, width, y), fill="#e0e0e0")
        draw.text((width - 60, y), f"{rng.random() * 1000:.2f}", fill="black")
    return image


def noise(side: int) -> bytes:
    bands = [Image.frombytes("L", (side, side), random.Random(seed).randbytes(side**2)) for seed in range(3)]
    return encoded(Image.merge("RGB", bands))


@pytest.mark.parametrize(
    "data",
    [
        encoded(chart(640, 400)),
        encoded(chart(640, 400).convert("L")),
        encoded(chart(1024, 1024)),
        encoded(chart(640, 400).quantize(16)),
        encoded(chart(640, 400).convert("1")),
        encoded(chart(640, 400), "JPEG"),
        encoded(chart(640, 400), "JPEG", progressive=True),
        encoded(chart(640, 400).convert("L"), "JPEG"),
    ],
)
def test_a_small_clean_png_or_jpeg_goes_through_byte_for_byte(data: bytes) -> None:
    sent, metadata = preprocess_chart_image(data)
    assert sent == data
    assert metadata["changed"] is False


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_png_or_jpeg_that_looks_the_same(kind: str) -> None:
    image, metadata = shown(encoded(corner_marked(), kind))
    assert metadata["source"]["format"] == kind
    assert image.size == (60, 40)
    red, blue, white = (image.convert("RGB").getpixel(at) for at in ((4, 4), (55, 4), (30, 35)))
    assert _close(red, (255, 0, 0))
    assert _close(blue, (0, 0, 255))
    assert _close(white, WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_exif_turned_image_is_upright_and_says_so_no_more(kind: str, orientation: int) -> None:
    stored = encoded(corner_marked(), kind, exif=exif(orientation))
    image, _ = shown(stored)
    wanted = ImageOps.exif_transpose(Image.open(BytesIO(stored)))
    assert image.size == wanted.size
    assert image.size == ((60, 40) if orientation < 5 else (40, 60))
    assert _close(image.getpixel((4, 4)), wanted.convert("RGB").getpixel((4, 4)))
    assert image.getexif().get(0x0112, 1) == 1


def test_a_nonsense_orientation_changes_nothing() -> None:
    image, _ = shown(encoded(corner_marked(), "JPEG", exif=exif(77)))
    assert image.tobytes() == Image.open(BytesIO(encoded(corner_marked(), "JPEG"))).tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (10, 10, 20, 20))
    clear.paste((0, 0, 0, 128), (20, 10, 30, 20))
    image, _ = shown(encoded(clear.convert(mode)))
    assert [image.convert("L").getpixel((x, 15)) for x in (5, 15, 25)] == [255, 0, 127]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_colour_becomes_white(kind: str) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.paste(1, (0, 0, 10, 20))
    result, _ = shown(encoded(image, kind, transparency=0))
    assert result.convert("RGB").getpixel((5, 5)) == (200, 0, 0)
    assert result.convert("RGB").getpixel((15, 5)) == WHITE


def test_a_png_with_one_colour_declared_transparent_is_not_clean() -> None:
    result, metadata = shown(encoded(corner_marked(), transparency=(255, 0, 0)))
    assert metadata["changed"]
    assert result.convert("RGB").getpixel((4, 4)) == WHITE


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_16_bit_grey_is_scaled_not_cut_off(mode: str, kind: str) -> None:
    values = [0, 257, 30_000, 65_535]
    packed = struct.pack(f"{'>' if mode == 'I;16B' else '<'}4H", *values)
    image, _ = shown(encoded(Image.frombytes(mode, (4, 1), packed), kind))
    assert [image.getpixel((x, 0)) for x in range(4)] == [0, 1, 117, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-5, 7), (0, 65_535), (-2_000_000, 2_000_000)])
def test_32_bit_grey_is_spread_from_its_darkest_to_its_lightest(mode: str, low: int, high: int) -> None:
    tiff = Image.new(mode, (3, 1), low)
    tiff.putpixel((2, 0), high)
    image, _ = shown(encoded(tiff, "TIFF"))
    assert [image.getpixel((x, 0)) for x in range(3)] == [0, 0, 255]


def test_pixels_that_are_no_numbers_are_a_typed_error() -> None:
    with pytest.raises(ImageError, match="not numbers"):
        preprocess_chart_image(encoded(Image.new("F", (3, 3), float("inf")), "TIFF"))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LAB"])
def test_every_other_mode_becomes_grey_or_rgb(mode: str) -> None:
    image, _ = shown(encoded(Image.new(mode, (20, 10)), "TIFF"))
    assert image.mode in ("L", "RGB")
    assert image.size == (20, 10)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    image, _ = shown(encoded(Image.new("CMYK", (30, 20), (0, 255, 255, 0)), "JPEG"))
    assert _close(image.getpixel((10, 10)), (255, 0, 0))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_shown(kind: str) -> None:
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    image, metadata = shown(encoded(first, kind, save_all=True, append_images=[second]))
    assert _close(image.convert("RGB").getpixel((20, 20)), (255, 0, 0))
    assert metadata["source"]["animated"] is True
    assert metadata["changed"] is True


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((2048, 1000), (1024, 500)),
        ((1000, 2048), (500, 1024)),
        ((1025, 1025), (1024, 1024)),
        ((50_000, 1), (1024, 1)),
        ((1, 50_000), (1, 1024)),
        ((1024, 3), (1024, 3)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_no_side_is_longer_than_allowed_and_the_shape_stays(
    kind: str, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert shown(encoded(Image.new("RGB", size, "white"), kind))[0].size == wanted


def test_other_limits_are_obeyed() -> None:
    image, metadata = shown(encoded(chart(640, 400)), max_side=320, max_bytes=10_000)
    assert max(image.size) <= 320
    assert metadata["bytes"] <= 10_000


def test_a_chart_stays_exact_where_png_fits() -> None:
    assert shown(encoded(chart(1600, 900)))[1]["format"] == "PNG"
    assert shown(encoded(chart(800, 450), "WEBP", lossless=True))[1]["format"] == "PNG"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"exif": exif(1)},
        {"save_all": True, "append_images": [Image.new("RGB", (320, 200))]},
        {"icc_profile": icc_profile("Display P3")},
    ],
)
def test_what_lost_something_already_is_sent_as_a_jpeg_that_loses_little(more: dict[str, Any]) -> None:
    for kind in ("WEBP", "AVIF"):
        image, metadata = shown(encoded(chart(320, 200), kind, quality=80, **more))
        assert metadata["format"] == "JPEG"
        assert max(image.quantization[0]) == 7, "quality 97"  # type: ignore[attr-defined]
        assert {(h, v) for _, h, v, _ in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
    assert shown(encoded(chart(320, 200), "WEBP", lossless=True, **more))[1]["format"] == "PNG"


@pytest.mark.parametrize(("lossless", "wanted"), [(False, "JPEG"), (True, "PNG")])
def test_a_webp_is_lossy_or_not_with_transparency_too(lossless: bool, wanted: str) -> None:
    turned = chart(320, 200).convert("RGBA").rotate(10)
    image, metadata = shown(encoded(turned, "WEBP", lossless=lossless, quality=80))
    assert metadata["format"] == wanted
    assert _close(image.getpixel((1, 1)), WHITE)


def test_a_jpeg_that_must_change_stays_jpeg_with_full_colour() -> None:
    image, metadata = shown(encoded(chart(1600, 900), "JPEG"))
    assert metadata["format"] == "JPEG"
    assert {(h, v) for _, h, v, _ in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
    assert max(image.quantization[0]) == 7, "quality 97; of 95 it is 12"  # type: ignore[attr-defined]


@pytest.mark.parametrize("max_bytes", [1_000_000, 100_000, 5_000, 700, 69])
def test_the_bytes_never_exceed_the_limit(max_bytes: int) -> None:
    _, metadata = shown(noise(600), max_bytes=max_bytes)
    assert metadata["bytes"] <= max_bytes
    assert metadata["bytes"] > max_bytes / 3 or max_bytes < 1000


def test_what_lost_something_already_is_a_png_where_no_jpeg_of_its_size_fits() -> None:
    file = encoded(Image.new("RGB", (60, 40), "red"), "WEBP", quality=50)
    image, metadata = shown(file, max_bytes=600)
    assert (metadata["format"], image.size) == ("PNG", (60, 40))


def test_a_side_that_no_jpeg_has_is_shrunk_until_one_fits() -> None:
    colours = Image.frombytes("RGB", (66_000, 8), random.Random(1).randbytes(66_000 * 8 * 3))
    image, metadata = shown(encoded(colours), max_side=66_000, max_bytes=800_000)
    assert (metadata["format"], image.width) == ("JPEG", 52_800)


def test_a_limit_that_no_image_fits_is_a_typed_error() -> None:
    with pytest.raises(ImageError, match="IMAGE_MAX_BYTES"):
        preprocess_chart_image(noise(50), max_bytes=60)


@pytest.mark.parametrize(
    ("length", "upright", "levels"), [(1280, True, 110), (1280, False, 105), (1920, True, 65), (1920, False, 65)]
)
def test_thin_lines_survive_shrinking(length: int, upright: bool, levels: int) -> None:
    """The promise behind the choice of the filters: no 1-px line vanishes, wherever it falls between the pixels."""
    image = Image.new("L", (length, 20), 255)
    for x in range(20, length - 20, 23):
        image.paste(0, (x, 0, x + 1, 20))
    result, _ = shown(encoded(image if upright else image.transpose(Image.Transpose.TRANSPOSE)))
    row = [int(str(result.getpixel((x, 5) if upright else (5, x)))) for x in range(1024)]
    for x in range(20, length - 20, 23):
        at = int(x * 1024 / length)
        assert 255 - min(row[at - 1 : at + 3]) > levels


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_that_is_turned_is_shrunk_as_it_will_be_seen(orientation: int) -> None:
    stored = encoded(chart(1600, 900), exif=exif(orientation))
    upright = ImageOps.exif_transpose(Image.open(BytesIO(stored)))
    difference = ImageChops.difference(shown(stored)[0], shown(encoded(upright))[0])
    assert difference.convert("L").getextrema() == (0, 0)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_a_typed_error(kind: str) -> None:
    whole = encoded(picture(size=(300, 300)), kind)
    with pytest.raises(ImageError):
        preprocess_chart_image(whole[: len(whole) // 2])


def test_damage_that_the_check_cannot_see_is_found_here() -> None:
    broken = encoded(picture(size=(300, 300)), "JPEG")[:-5_000]
    check_image(broken)
    with pytest.raises(ImageError, match="damaged"):
        preprocess_chart_image(broken)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_small_file_that_is_cut_off_anywhere_is_refused_or_all_of_it_is_there(kind: str, mode: str) -> None:
    data = encoded(picture(mode, (24, 18)), kind, exif=exif(1))
    for end in range(len(data)):
        with contextlib.suppress(ImageError):
            assert shown(data[:end])[0].size == (24, 18)
            assert looks(data[:end]) == looks(data)


def test_a_small_png_of_which_any_byte_was_changed_is_refused_at_submit_or_looks_the_same() -> None:
    data = encoded(picture(size=(16, 9)), exif=exif(1))
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :]
        with contextlib.suppress(ImageError):
            check_image(changed)
            assert looks(preprocess_chart_image(changed)[0]) == looks(data)


def test_a_png_of_pixels_that_end_early_is_a_typed_error_where_it_is_decoded_or_far_too_few() -> None:
    def short(side: int) -> bytes:
        whole = encoded(Image.new("RGB", (side, side)))
        start = whole.index(b"IDAT") - 4
        return whole[:start] + png_chunk(b"IDAT", zlib.compress(b"\0" * 700)) + png_chunk(b"IEND", b"")

    for side, limits in ((50, {"max_side": 40}), (1000, {})):
        check_image(short(side))
        with pytest.raises(ImageError, match="damaged"):
            preprocess_chart_image(short(side), **limits)


@pytest.mark.parametrize("size", [(10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"more than {MAX_PIXELS:,} pixels"):
        preprocess_chart_image(png_of_size(*size))


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_image_is_a_typed_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        preprocess_chart_image(data)


def test_text_fields_in_a_png_do_no_harm() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 1_000_000, zip=True)
    sent, metadata = preprocess_chart_image(encoded(corner_marked(), pnginfo=info))
    assert metadata["changed"] is True
    assert sent == encoded(corner_marked())
    info.add_text("Bomb", "x" * 10_000_000, zip=True)
    with pytest.raises(ImageError):
        preprocess_chart_image(encoded(corner_marked(), pnginfo=info))


def test_large_images_are_processed_from_many_threads() -> None:
    large = encoded(Image.new("RGB", (4000, 2200), "white"))
    sizes: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda: sizes.append(shown(large)[0].size)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [(1024, 563)] * 4


@given(mutations(), st.sampled_from([16, 1024]), st.sampled_from([60, 700, 1_000_000]))
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_bytes_there_is_a_good_image_or_image_error(data: bytes, max_side: int, max_bytes: int) -> None:
    try:
        sent, metadata = preprocess_chart_image(data, max_side=max_side, max_bytes=max_bytes)
    except ImageError as error:
        refusal = str(error)
    else:
        refusal = ""
        _check_what_is_sent(data, sent, metadata, max_side=max_side, max_bytes=max_bytes)
    assert refusal.isprintable()


def _check_what_is_sent(data: bytes, sent: bytes, metadata: dict[str, Any], *, max_side: int, max_bytes: int) -> None:
    assert max(metadata["width"], metadata["height"]) <= max_side
    assert metadata["bytes"] <= max_bytes
    if looks(data):
        shown(data, max_side=max_side, max_bytes=max_bytes)
    else:  # damage that only decoding shows, in a file that is sent undecoded
        assert metadata["format"] in ("PNG", "JPEG")
        assert not looks(sent)


def looks(data: bytes) -> bytes:
    """The pixels that Pillow sees in a file; none if it can't decode it."""
    try:
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGBA").tobytes()
    except PILLOW_ERRORS:
        return b""


def _close(one: Any, other: Any) -> bool:
    """Equal to within what JPEG and a palette change."""
    return all(abs(a - b) < 40 for a, b in zip(one, other, strict=True))


# What stays on this machine -------------------------------------------------------------------------------

SECRET = b"ann-lives-at-48.8584N"


def telling(kind: str, image: Image.Image) -> bytes:
    """A file that says SECRET wherever its format lets it, also behind its end."""
    about = Image.Exif()
    about[0x010E] = SECRET.decode()  # ImageDescription
    about.get_ifd(0x8825)[29] = SECRET.decode()  # GPSDateStamp
    options: dict[str, Any] = {"exif": about, "icc_profile": icc_profile("sRGB " + SECRET.decode())}
    if kind == "PNG":
        options["pnginfo"] = info = PngImagePlugin.PngInfo()
        info.add_text("Author", SECRET.decode())
        info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        info.add_text("Comment", SECRET.decode(), zip=False)
    elif kind in ("JPEG", "WEBP"):
        options |= {"xmp": SECRET} | ({"comment": SECRET} if kind == "JPEG" else {})
    elif kind == "GIF":
        options = {"comment": SECRET}
    elif kind == "TIFF":
        options = {"description": SECRET.decode(), "icc_profile": options["icc_profile"]}
    return encoded(image, kind, **options) + (SECRET if kind in ("PNG", "JPEG") else b"")


@pytest.mark.parametrize("max_side", [2048, 300])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_nothing_but_pixels_leaves_this_machine(kind: str, max_side: int) -> None:
    data = telling(kind, chart(640, 400))
    assert SECRET in data
    sent, metadata = preprocess_chart_image(data, max_side=max_side)
    assert SECRET not in sent
    assert SECRET[:8] not in sent
    with Image.open(BytesIO(sent)) as image:
        image.load()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
        assert not image.getexif()
    assert metadata["changed"] is True


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixels_of_a_stripped_jpeg_are_the_files_own(mode: str, options: dict[str, Any]) -> None:
    image = chart(640, 400).convert(mode)
    told = encoded(image, "JPEG", exif=exif(1), comment=SECRET, **options)
    sent, _ = preprocess_chart_image(told + b"\xff\xd8 another picture " + SECRET)
    assert SECRET not in sent
    assert Image.open(BytesIO(sent)).tobytes() == Image.open(BytesIO(told)).tobytes()


def test_a_jpeg_whose_colours_are_rgb_by_adobes_word_keeps_them() -> None:
    told = encoded(chart(64, 40), "JPEG", keep_rgb=True, exif=exif(1))
    sent, metadata = preprocess_chart_image(told)
    assert metadata["changed"] is True
    assert Image.open(BytesIO(sent)).tobytes() == Image.open(BytesIO(told)).tobytes()


def test_a_thumbnail_in_the_jfif_header_stays_here() -> None:
    plain = encoded(chart(64, 40), "JPEG")
    thumbnail = bytes([1, 1]) + SECRET[:3]
    told = plain[:2] + b"\xff\xe0" + struct.pack(">H", 19) + plain[6:18] + thumbnail + plain[20:]
    sent, _ = preprocess_chart_image(told)
    assert sent == plain


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_of_a_wide_profile_become_those_of_srgb(mode: str, kind: str) -> None:
    picture = Image.new("RGB", (40, 30), (200, 100, 100)).convert(mode)
    sent, metadata = preprocess_chart_image(encoded(picture, kind, icc_profile=icc_profile("Display P3")))
    image = Image.open(BytesIO(sent)).convert("RGB")
    red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
    assert red > 208
    assert 80 < green < 98
    assert blue > 88
    assert "icc_profile" not in image.info
    assert metadata["changed"] is True


def test_a_broken_profile_says_nothing() -> None:
    image, _ = shown(encoded(corner_marked(), icc_profile=b"nonsense" * 40))
    assert image.tobytes() == corner_marked().tobytes()
