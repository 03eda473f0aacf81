"""What a rehearsal tells: how fast it may go, what came of it, and that in words. No clock, no network."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.batches.shapes import BatchDocument
from jobs.core.rates import Window
from jobs.core.text import counted
from jobs.core.time_text import duration, iso
from jobs.submit.source import Rejected
from worker.engine.policy import Throttled
from worker.engine.settlement import FinishedExecution

#: Calls a second that worker and stand-in make in one process without the machine's own time showing.
MOST_CALLS_A_SECOND = 40.0

#: A rehearsal that takes less than this of the world's time shows the start of threads and little else.
_SHORTEST_S = 1.0

#: Calls that take so many times as long as they were to take: the machine didn't keep up.
_SLOW = 1.5


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What is rehearsed: the limits, how long an answer takes, how many calls are made at a time."""

    windows: Sequence[Window]
    #: Whether chartq knows the limits, or finds out by being refused.
    told: bool
    latency_s: float
    concurrency: int

    def shortest_s(self, charts: int) -> float:
        """No run of so many calls takes less."""
        by_calls_s = math.ceil(charts / self.concurrency) * self.latency_s
        by_windows_s = [(charts - 1) // window.calls * window.window_ms / 1000 for window in self.windows]
        return max(by_calls_s, *by_windows_s, 0.0)

    @property
    def rate(self) -> str | None:
        return ",".join(map(str, self.windows)) or None


def fitting_speed(wanted: float, provider: Provider, charts: int) -> float:
    """The speed asked for, or the highest at which this machine makes no more calls a second than it can."""
    least_s = max(_SHORTEST_S, charts / MOST_CALLS_A_SECOND)
    return max(1.0, min(wanted, float(f"{provider.shortest_s(charts) / least_s:.2g}")))


@dataclass(kw_only=True)
class Tally:
    """What came of the calls so far."""

    calls: int = 0
    answered: int = 0
    refused: int = 0
    #: The world's seconds that the answered ones took, together.
    answering_s: float = 0.0

    def count(self, ending: FinishedExecution) -> None:
        """An execution has ended."""
        ended = ending.ended
        self.calls += ended.called
        if isinstance(ended.outcome, Throttled):
            self.refused += 1
        elif ended.answer is not None:
            self.answered += 1
            self.answering_s += ended.latency_s


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How a rehearsal ended."""

    provider: Provider
    speed: float
    #: Seconds that it would have taken in truth.
    took_s: float
    tally: Tally
    #: The batch's document.
    batch: BatchDocument
    rejected: Sequence[Rejected] = ()

    @property
    def complete(self) -> bool:
        return bool(self.batch["status"] in ("completed", "completed_with_errors"))

    @property
    def slow_machine(self) -> float | None:
        """The speed at which this machine would keep up, if it didn't and that shows in the time."""
        if not self.tally.answered or not self.provider.latency_s:
            return None
        mean_s = self.tally.answering_s / self.tally.answered * self.speed
        busy_s = self.tally.answered * mean_s / self.provider.concurrency
        kept_up = mean_s <= _SLOW * self.provider.latency_s or busy_s <= self.took_s / 2 or self.speed <= 1
        return None if kept_up else max(1.0, float(f"{self.speed * self.provider.latency_s / mean_s:.1g}"))

    def document(self) -> dict[str, Any]:
        """`rehearse --json`."""
        return {
            "charts": self.batch["request_counts"]["total"],
            "rejected": [reject.to_json() for reject in self.rejected],
            "status": self.batch["status"],
            "request_counts": self.batch["request_counts"],
            "hold": self.batch["hold"],
            "calls": self.tally.calls,
            "answered": self.tally.answered,
            "refused": self.tally.refused,
            "duration_s": round(self.took_s, 1),
            "done_by": iso(time.time() + self.took_s) if self.complete else None,
            "rate": self.provider.rate,
            "told": self.provider.told,
            "latency_s": self.provider.latency_s,
            "concurrency": self.provider.concurrency,
            "speed": self.speed,
            "rehearsal": True,
        }

    def lines(self) -> list[str]:
        """For people."""
        counts, tally = self.batch["request_counts"], self.tally
        ended = counts["finished"] + counts["failed"]
        if self.complete:
            by = f"{datetime.fromtimestamp(time.time() + self.took_s):%Y-%m-%d %H:%M}"
            first = f"{counted(counts['total'], 'chart')} would take {duration(self.took_s)}: started now, done by {by}"
        else:
            first = f"ended after {duration(self.took_s)} with {ended:,} of {counted(counts['total'], 'chart')} done"
        other = tally.calls - tally.answered - tally.refused
        lines = [
            first,
            f"{counted(tally.calls, 'call')}: {tally.answered:,} answered, {tally.refused:,} refused as too many, "
            f"{other:,} failed; {counted(counts['failed'], 'chart')} failed for good",
            self._assumed(),
        ]
        if (speed := self.slow_machine) is not None:
            lines.append(f"this machine did not keep up, in truth it goes faster: rehearse with --speed {speed:g}")
        return lines

    def _assumed(self) -> str:
        provider = self.provider
        known = "and chartq knows it" if provider.told else "which chartq was not told"
        limit = f"{provider.rate}, {known}" if provider.rate else "none (--rate 30/h sets one)"
        return f"assumed: limit {limit}; {provider.latency_s:g} s for an answer; {provider.concurrency} calls at a time"
