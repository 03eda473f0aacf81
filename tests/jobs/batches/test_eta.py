"""How long will it take? Tables for the pure function."""

from dataclasses import replace

import pytest
from support.gates import gate as gate_at_0

from jobs.batches.eta import Pace, eta_s
from jobs.core.rates import Window
from jobs.lanes import Gate


def gate(
    *windows: tuple[int, int], spent: tuple[int, ...] = (), until_s: float | None = None, reason: str | None = None
) -> Gate:
    """A gate at time 1000; windows as (calls, seconds)."""
    counted = tuple(Window(calls=calls, window_ms=seconds * 1000) for calls, seconds in windows)
    spent = spent or (0,) * len(windows)
    return gate_at_0(reason=reason, until_s=until_s, windows=counted, spent=spent, now_s=1000.0)


@pytest.mark.parametrize(
    ("open_jobs", "gates", "recent", "expected"),
    [
        (0, [], (0, 60), 0.0),  # nothing to do
        (0, [gate(reason="token")], (0, 60), 0.0),
        (10, [], (0, 60), None),  # nothing is known
        (10, [gate()], (0, 60), None),
        (10, [], (5, 60), 120.0),  # by the pace of the last minute
        (10, [gate()], (5, 60), 120.0),
        (30, [gate((30, 3600))], (0, 60), 0.0),  # the budget has that many left
        (60, [gate((30, 3600))], (0, 60), 3600.0),
        (60, [gate((30, 3600), spent=(30,))], (0, 60), 7200.0),
        (60, [gate((30, 3600), spent=(40,))], (0, 60), 7200.0),  # overspent is spent
        (100, [gate((10, 1), (100, 3600))], (0, 60), 9.0),  # 10 at once, then 10 a second: the hour has room
        (190, [gate((10, 1), (100, 3600))], (0, 60), 3240.0),  # the hour has not
        (60, [gate((30, 3600)), gate((30, 3600))], (0, 60), 0.0),  # two accounts add up
        (120, [gate((30, 3600)), gate((30, 3600))], (0, 60), 3600.0),
        (60, [gate((30, 3600)), gate()], (0, 60), None),  # an account without a known budget: nobody knows
        (60, [gate((30, 3600))], (60, 60), 3600.0),  # the larger of budget and pace
        (60, [gate((6000, 3600))], (6, 60), 600.0),
        (10, [gate(until_s=1030.0)], (10, 60), 60.0),  # the pace of a minute has the closed time in it
        (10, [gate(until_s=1300.0)], (10, 60), 300.0),  # not before the gate opens
        (10, [gate((30, 3600), until_s=1030.0)], (0, 60), 30.0),
        (10, [gate(until_s=1030.0), gate()], (10, 60), 60.0),  # unless another is open
        (10, [gate(until_s=990.0)], (10, 60), 60.0),  # closed until a while ago is open
        (10, [gate(reason="credits")], (10, 60), None),  # on hold: nobody knows
        (10, [gate(reason="credits"), gate()], (10, 60), 60.0),
    ],
)
def test_it_is_the_largest_of_budget_pace_and_what_is_closed(
    open_jobs: int, gates: list[Gate], recent: tuple[int, float], expected: float | None
) -> None:
    ended, age_s = recent
    assert eta_s(open_jobs, gates, Pace(recent_ended=ended, age_s=age_s)) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("calls", "window_s"), [(90, 60.0), (30, 20.0), (400, 300.0), (60, 3600.0)])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_under_a_limit_that_nobody_knows_the_time_to_go_is_no_burst_s(
    calls: int, window_s: float, share: float
) -> None:
    """The provider lets a window's calls through as fast as they come, 16 a second, and refuses the rest."""
    charts = 5 * calls
    ends = [number // calls * window_s + 1 + number % calls / 16 for number in range(charts)]
    now = ends[int(share * charts)]
    for moment in (now, now + 5.0):  # in the middle of a window's burst, and behind it
        ended = [at for at in ends if at <= moment]
        used_up = len(ended) % calls == 0
        opens_at = moment // window_s * window_s + window_s if used_up else None
        limited = replace(gate(until_s=None if opens_at is None else 1000 + opens_at - moment), limit=8)
        pace = Pace(
            recent_ended=sum(at > moment - 60 for at in ended),
            lately_ended=sum(at > moment - 600 for at in ended),
            age_s=moment,
        )
        told, came = eta_s(charts - len(ended), [limited], pace), ends[-1] - moment
        assert told is not None
        if used_up or window_s < 600:
            assert 0.6 * came <= told <= 1.5 * came, (moment, told, came)
