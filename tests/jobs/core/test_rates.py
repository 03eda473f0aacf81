"""Request budgets: read, written, merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.core.rates import RateLimits, Window, smallest

HOUR_MS = 3_600_000


def window(calls: int, seconds: int) -> Window:
    return Window(calls=calls, window_ms=seconds * 1000)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("  ", ""),
        ("30/h", "30/h"),
        ("30/60m", "30/h"),
        (" 30 / 5 s ", "30/5s"),
        ("100/15m", "100/15m"),
        ("1/d", "1/d"),
        ("30/h,5/s", "5/s,30/h"),
        ("30/h,60/h", "30/h"),
        ("30/h, Qwen/Qwen2.5-VL-72B-Instruct = 600/m", "30/h,Qwen/Qwen2.5-VL-72B-Instruct=600/m"),
        ("M=100/h,M=5/s", "M=5/s,M=100/h"),
        ("org/m:novita=1/90s", "org/m:novita=1/90s"),
    ],
)
def test_a_budget_is_read_and_written_back_in_one_spelling(text: str, canonical: str) -> None:
    assert str(RateLimits.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "30",
        "h",
        "30/",
        "30/w",
        "0/h",
        "-1/h",
        "1.5/h",
        "30/0s",
        "30/h,",
        ",",
        "=30/h",
        "M=",
        "a b=3/h",
        "30/999999999d",
        "٣/h",
        "30/h;5/s",
        "1e3/h",
        "3 an h",
    ],
)
def test_what_is_no_budget_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RateLimits.parse(text)


def test_an_error_names_the_entry_and_what_is_accepted() -> None:
    with pytest.raises(ValueError, match=r"'5/x' is no budget: write 30/h"):
        RateLimits.parse("30/h,5/x")


def test_a_models_own_entries_replace_the_default_ones() -> None:
    limits = RateLimits.parse("30/h,org/m=600/m,org/m:fast=9/s")
    assert limits.windows("org/other") == (window(30, 3600),)
    assert limits.windows("org/m") == (window(600, 60),)


def test_a_provider_suffix_falls_back_to_the_model() -> None:
    limits = RateLimits.parse("30/h,org/m=600/m,org/m:fast=9/s")
    assert limits.windows("org/m:slow") == (window(600, 60),)
    assert limits.windows("org/m:fast") == (window(9, 1),)
    assert limits.windows("org/other:fast") == (window(30, 3600),)


def test_where_workers_differ_the_smallest_of_each_window_holds() -> None:
    merged = smallest(RateLimits.parse("30/h,5/s"), RateLimits.parse("20/h,100/d,M=50/h"))
    assert str(merged) == "5/s,20/h,100/d,M=5/s,M=30/h"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"default":[[1,1000]]}',
        '{"default":[[0,1000]],"models":{}}',
        '{"default":[[1,1000.0]],"models":{}}',
        '{"default":[[true,1000]],"models":{}}',
        "[" * 99_999,
    ],
)
def test_json_of_someone_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RateLimits.from_json(text)


windows = st.lists(st.builds(window, st.integers(1, 99), st.sampled_from([1, 5, 60, 90, 3600, 86_400])))
models = st.sampled_from(["m", "org/m", "org/m:fast", "org/m:slow", "n"])


@st.composite
def rate_limits(draw: st.DrawFn) -> RateLimits:
    entries = [str(one) for one in draw(windows)]
    for model, own in draw(st.dictionaries(models, windows, max_size=3)).items():
        entries += [f"{model}={one}" for one in own]
    return RateLimits.parse(",".join(entries))


@given(rate_limits())
def test_text_and_json_give_back_the_same_limits(limits: RateLimits) -> None:
    assert RateLimits.parse(str(limits)) == limits
    assert RateLimits.from_json(limits.to_json()) == limits
    assert RateLimits.from_json(limits.to_json().encode()) == limits


@given(st.lists(rate_limits(), min_size=1, max_size=3), models)
def test_merged_limits_hold_for_each_model_what_every_worker_said(many: list[RateLimits], model: str) -> None:
    lengths = {one.window_ms for limits in many for one in limits.windows(model)}
    merged = {one.window_ms: one.calls for one in smallest(*many).windows(model)}
    assert merged == {
        length: min(one.calls for limits in many for one in limits.windows(model) if one.window_ms == length)
        for length in lengths
    }


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        limits = RateLimits.parse(text)
    except ValueError:
        return
    assert RateLimits.parse(str(limits)) == limits
