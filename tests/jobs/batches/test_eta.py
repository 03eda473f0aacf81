"""How long will it take? Tables for the pure function."""

import pytest

from jobs.batches.eta import eta_s
from jobs.core.rates import Window
from jobs.lanes import Gate


def gate(
    *windows: tuple[int, int], spent: tuple[int, ...] = (), until_s: float | None = None, reason: str | None = None
) -> Gate:
    """A gate at time 1000; windows as (calls, seconds)."""
    return Gate(
        account="a",
        lane="chat:org/model",
        live=True,
        reason=reason,
        message=None,
        since_s=None,
        until_s=until_s,
        why=None,
        wait_s=0.0,
        budget_wait_s=0.0,
        probing=False,
        limit=None,
        ceiling=None,
        in_flight=0,
        windows=tuple(Window(calls=calls, window_ms=seconds * 1000) for calls, seconds in windows),
        spent=spent or (0,) * len(windows),
        now_s=1000.0,
    )


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
    ended, span_s = recent
    assert eta_s(open_jobs, gates, recent_ended=ended, recent_span_s=span_s) == pytest.approx(expected, abs=0.1)
