"""How long will it take? A pure function of what is open, the gates and the recent pace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.ledger.counts import LATELY_S, RECENT_S

if TYPE_CHECKING:
    from jobs.lanes import Gate


#: Seconds to which a budget's end is worked out.
_PRECISION_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How many calls have ended, and since when they are being made."""

    recent_ended: int = 0
    lately_ended: int = 0
    age_s: float = 0.0


NO_PACE = Pace()


def eta_s(open_jobs: int, gates: "Sequence[Gate]", pace: Pace) -> float | None:
    """Seconds until `open_jobs` calls are through, or None if nothing tells.

    Two bounds, the larger holds: the permits that the budgets give (all accounts together), and the pace. Sooner than
    the gate opens it is not; both count its closed time as any other.
    """
    if open_jobs == 0:
        return 0.0
    usable = [gate for gate in gates if not gate.held]
    if gates and not usable:
        return None
    closed_s = min((max(0.0, (gate.until_s or 0.0) - gate.now_s) for gate in usable), default=0.0)
    refused = any(gate.limit is not None for gate in usable)
    bounds = _by_budget_s(open_jobs, usable), _by_pace_s(open_jobs, pace, refused=refused, closed_s=closed_s)
    known = [seconds for seconds in bounds if seconds is not None]
    return round(max(closed_s, *known), 1) if known else None


def _by_pace_s(open_jobs: int, pace: Pace, *, refused: bool, closed_s: float) -> float | None:
    """As the calls of a span took it. A provider's window that is used up took until it opens again."""
    longest_s, ended = (LATELY_S, pace.lately_ended) if refused else (RECENT_S, pace.recent_ended)
    if not ended or pace.age_s <= 0:
        return None
    span_s = min(longest_s, max(1.0, pace.age_s))
    if refused:  # of later windows the span has their closings in it, unless these are longer than itself
        span_s = span_s + closed_s if pace.age_s <= longest_s else max(span_s, closed_s)
    return open_jobs * span_s / ended


def _by_budget_s(open_jobs: int, gates: "Sequence[Gate]") -> float | None:
    """Until the budgets have given that many permits; None if an account has no budget."""
    if not gates or not all(gate.windows for gate in gates):
        return None
    if _permits_in(0.0, gates) >= open_jobs:
        return 0.0
    # Permits grow with time, so halving finds when there are enough: first a bound, then a second's precision.
    until_s = 1.0
    while _permits_in(until_s, gates) < open_jobs:
        until_s *= 2
    low_s = until_s / 2
    while until_s - low_s > _PRECISION_S:
        middle_s = (low_s + until_s) / 2
        low_s, until_s = (middle_s, until_s) if _permits_in(middle_s, gates) < open_jobs else (low_s, middle_s)
    return until_s


def _permits_in(seconds: float, gates: "Sequence[Gate]") -> float:
    """Permits of all accounts within so many seconds: of each, what its tightest window gives by then."""
    return sum(
        min(
            max(0, window.calls - spent) + seconds * window.calls * 1000 / window.window_ms
            for window, spent in zip(gate.windows, gate.spent, strict=True)
        )
        for gate in gates
    )
