"""jobs.charts.image_check: the cheap check at submit, and reading files that may be anything."""

import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures import FORMATS, encoded, mutations, picture, png_chunk, png_of_size, webp_of_size

from jobs.charts.image_check import MAX_PIXELS, check_image, opened, read_bounded
from jobs.core.errors import ImageError


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_the_contract_passes_and_is_described(kind: str) -> None:
    header = check_image(encoded(picture(), kind))
    assert (header.format, header.width, header.height) == (kind, 40, 30)


def test_very_long_and_thin_images_pass() -> None:
    assert check_image(encoded(Image.new("RGB", (50_000, 1)))).width == 50_000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"hello", "not an image"),
        (b"\0" * 10_000, "not an image"),
        (b'\xef\xbb\xbf \n<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b'<svg width="10"/>', "SVG"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"%PDF-1.7\n", "PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (encoded(picture())[:-100], "damaged"),
        (encoded(picture())[:60], "damaged"),
        (encoded(picture(), "JPEG")[:15], "damaged"),
        (encoded(picture(), "AVIF")[:40], "damaged"),
        (png_of_size(10_000, 10_000), f"more than {MAX_PIXELS:,} pixels"),
        (webp_of_size(b"VP8X", 9000, 8000), f"9000 x 8000 has more than {MAX_PIXELS:,} pixels"),
        (webp_of_size(b"VP8L", 16_384, 3052), f"16384 x 3052 has more than {MAX_PIXELS:,} pixels"),
        (webp_of_size(b"VP8 ", 16_383, 16_383), f"16383 x 16383 has more than {MAX_PIXELS:,} pixels"),
        (png_of_size(2**31 - 1, 2**31 - 1), f"more than {MAX_PIXELS:,} pixels"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ImageError) as refused:
        check_image(data)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_flipped_bit_in_a_png_is_found() -> None:
    data = bytearray(encoded(picture()))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ImageError, match="damaged"):
        check_image(bytes(data))


@pytest.mark.parametrize("size", [(9000, 9999), (10_000, 16_000)])
def test_pillows_own_size_warning_never_shows(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="pixels"):
        check_image(png_of_size(*size))


def test_pillows_warnings_about_odd_files_never_show() -> None:
    data = encoded(picture())
    data = data[:33] + png_chunk(b"acTL", bytes(8)) + data[33:]  # an animation of no frames
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert check_image(data).format == "PNG"
    assert seen == []


def test_other_modules_warnings_still_show() -> None:
    check_image(encoded(picture()))
    with pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", UserWarning, stacklevel=1)


def test_checking_is_safe_in_many_threads() -> None:
    files = [encoded(picture(), kind) for kind in FORMATS] + [png_of_size(9000, 9999)]
    outcomes: list[list[str]] = []

    def work() -> None:
        outcomes.append([_outcome(check_image, data) for data in files * 20])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [([*FORMATS, "ImageError"]) * 20] * 8


def test_a_check_costs_far_less_than_a_decode() -> None:
    data = encoded(picture(size=(330, 300)))  # noise: 100 kB
    check_image(data)
    best = min(_seconds(check_image, data) for _ in range(50))
    assert best < 0.003, f"{best * 1000:.2f} ms; 0.1 ms on the machine where this was written"


@given(st.data())
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_bytes_the_check_answers_or_raises_image_error(data: st.DataObject) -> None:
    mutated = data.draw(mutations())
    assert _outcome(check_image, mutated) in {*FORMATS, "MPO", "ImageError"}


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF....WEBP", b"II*\0", b"BM"):
        assert _outcome(check_image, start + data) in {*FORMATS, "ImageError"}


def _outcome(judge: Callable[[bytes], Any], data: bytes) -> str:
    try:
        return str(judge(data).format)
    except ImageError as error:
        return type(error).__name__


def _seconds(judge: Callable[[bytes], Any], data: bytes) -> float:
    start = time.perf_counter()
    judge(data)
    return time.perf_counter() - start


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    file.write_bytes(b"x" * 1000)
    assert read_bounded(file) == b"x" * 1000
    assert read_bounded(str(file), max_bytes=1000) == b"x" * 1000


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    with file.open("wb") as sparse:
        sparse.truncate(10**12)
    with pytest.raises(ImageError, match=r"chart\.png' is larger than 64,000,000 bytes"):
        read_bounded(file)


def test_proc_files_that_claim_no_size_are_read_within_the_bound() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    assert read_bounded("/proc/self/status").startswith(b"Name:")
    with pytest.raises(ImageError, match="larger than 5 bytes"):
        read_bounded("/proc/self/status", max_bytes=5)


def test_what_is_no_readable_file_is_named_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, loop, line, sock = (tmp_path / name for name in ("pipe", "loop", "a\nb", "sock"))
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path has at most 107 bytes
        server.bind("sock")
        for path, words in [
            (pipe, "pipe, socket or device"),
            (sock, "can't be read"),
            (Path("/dev/zero"), "pipe, socket or device"),
            (tmp_path, "is a folder"),
            (tmp_path / "none.png", "No such file"),
            (loop, "in a circle"),
            (line, r"a\nb"),
            (tmp_path / ("x" * 300), "too long"),
            (tmp_path / "\udcff", r"\udcff"),
            (tmp_path / "a\0b", "null"),
        ]:
            with pytest.raises(ImageError) as refused:
                read_bounded(path)
            message = str(refused.value)
            assert words in message
            assert repr(str(path)) in message
            assert message.isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    file.touch(mode=0)
    with pytest.raises(ImageError, match=r"secret\.png.*Permission denied"):
        read_bounded(file)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(ImageError):
            read_bounded(path)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="found by what Linux tells of loaded libraries")
def test_libtiff_says_nothing_of_a_damaged_file_beside_our_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    file = BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGB").save(file, "TIFF", compression="tiff_lzw")
    data = bytearray(file.getvalue())
    data[500:2000] = b"\xff" * 1500
    with pytest.raises(ImageError, match="damaged"), opened(bytes(data)) as image:
        image.load()
    assert capfd.readouterr().err == ""
