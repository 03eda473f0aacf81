"""Moments and spans of time as people type them."""

from datetime import datetime

import pytest

from jobs.core.moments import moment, span_s

NOW = datetime.fromisoformat("2026-11-26T15:00:00+01:00")


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("16:30", "2026-11-26T16:30:00+01:00"),
        ("14:00", "2026-11-27T14:00:00+01:00"),
        ("15:00", "2026-11-27T15:00:00+01:00"),
        ("tomorrow 08:00", "2026-11-27T08:00:00+01:00"),
        ("Tomorrow  23:59", "2026-11-27T23:59:00+01:00"),
        ("2h", "2026-11-26T17:00:00+01:00"),
        ("90 min", "2026-11-26T16:30:00+01:00"),
        ("1.5h", "2026-11-26T16:30:00+01:00"),
        ("2026-12-01T08:00", "2026-12-01T08:00:00+01:00"),
        ("2026-12-01 08:00", "2026-12-01T08:00:00+01:00"),
        ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00+00:00"),
    ],
)
def test_a_moment_is_the_next_one_that_fits(text: str, then: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(then)


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "12:60", "0h", "-2h", "2026-13-01", "2026-11-26T14:00", "9" * 400]
)
def test_what_is_no_moment_ahead_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"write (14:00|90s)"):
        moment(text, NOW)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("90d", 7_776_000)])
def test_spans_have_their_unit(text: str, seconds: float) -> None:
    assert span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0d", "d", "1y", "١d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no span"):
        span_s(text)
