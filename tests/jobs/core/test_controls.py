"""Controls: which pause and which limit hold for a lane."""

import pytest

from jobs.core.controls import EVERYTHING, NO_CONTROLS, Controls, Limit, Pause, subject_of
from jobs.core.rates import RateLimits, Window

NOW = 1000.0
OPEN = Pause(by="ann@host", since=900)
LATER, OVER = (Pause(by="bob@host", since=900, until=until) for until in (2000.0, 1000.0))


@pytest.mark.parametrize(
    ("pauses", "lane", "found"),
    [
        ({}, "chat:org/m", None),
        ({EVERYTHING: OPEN}, "chat:org/m", OPEN),
        ({subject_of("model", "org/m"): LATER}, "chat:org/m", LATER),
        ({subject_of("model", "org/m"): LATER}, "task:org/m", LATER),
        ({subject_of("model", "org/m"): LATER}, "chat:org/m:novita", LATER),
        ({subject_of("model", "org/m:novita"): LATER}, "chat:org/m", None),
        ({subject_of("model", "org/m"): LATER}, "chat:org/m2", None),
        ({subject_of("model", "org/m"): OVER}, "chat:org/m", None),
        ({EVERYTHING: LATER, subject_of("model", "org/m"): OPEN}, "chat:org/m", OPEN),
        ({subject_of("batch", "b1"): OPEN}, "chat:org/m", None),
    ],
)
def test_the_longest_pause_that_fits_a_lane_holds_it(pauses: dict[str, Pause], lane: str, found: Pause | None) -> None:
    assert Controls(pauses=pauses).pause_of(lane, NOW) == found


def test_the_smaller_of_a_limit_and_the_workers_own_holds() -> None:
    limit = Limit(by="ann@host", since=0, windows=RateLimits.parse("10/s,30/h").default, concurrency=4)
    controls = Controls(limits={"org/m": limit})
    own = RateLimits.parse("5/s,100/m").default
    in_force = (
        Window(window_ms=1000, calls=5),
        Window(window_ms=60_000, calls=100),
        Window(window_ms=3_600_000, calls=30),
    )
    assert controls.windows_with("chat:org/m:novita", own) == in_force
    assert [controls.ceiling_with("chat:org/m", own_ceiling) for own_ceiling in (None, 2, 9)] == [4, 2, 4]
    assert controls.windows_with("chat:org/other", own) == own
    assert NO_CONTROLS.ceiling_with("chat:org/m", None) is None


def test_who_and_until_when_are_told() -> None:
    assert OPEN.message(NOW) == "paused by ann@host"
    assert LATER.message(NOW).startswith("paused by bob@host until ")
