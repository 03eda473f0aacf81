"""Failures are alike if their messages are, but for what varies."""

import time

import pytest

from jobs.core.error_kind import error_kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("model does not support image input", "model does not support image input"),
        ("image is 3000x2000, at most 1024 are taken", "image is 640x480, at most 1024 are taken"),
        ("'/charts/a.png' was changed after it was submitted", "'/charts/b c.png' was changed after it was submitted"),
        ("request 3fa85f64-5717-4562-b3fc failed", "request 0c9d1e77-aaaa-4562-0000 failed"),
        ("see https://x.example/e/1?a=b now", "see https://y.example/z now"),
    ],
)
def test_what_varies_makes_no_kind_of_its_own(one: str, other: str) -> None:
    assert error_kind(one) == error_kind(other)


def test_other_words_are_another_kind() -> None:
    assert error_kind("model does not support image input") != error_kind("the image is too large")
    assert "does not support image input" in error_kind("model does not support image input")


@pytest.mark.parametrize("piece", ["a/", "'", "1", "a-", "https://"])
def test_a_megabyte_takes_no_time(piece: str) -> None:
    began = time.process_time()
    error_kind(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 1
