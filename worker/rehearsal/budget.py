"""A request budget as providers keep it: so many calls per window."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from worker.rehearsal.behaviour import Window


@dataclass(frozen=True)
class Spent:
    """What the budget says to one call."""

    allowed: bool
    #: Calls left in this window.
    left: int
    #: Seconds until there is room again (refused), or until the window ends.
    wait_s: float


def tightest(spents: Sequence[Spent]) -> Spent:
    """What several budgets say together: all of them must allow it, and the longest wait holds."""
    refused = [spent for spent in spents if not spent.allowed]
    return max(refused, key=lambda spent: spent.wait_s) if refused else min(spents, key=lambda spent: spent.left)


class Budget:
    """At most `calls` per `window_s` seconds; `now` in seconds of any clock that only goes forward."""

    def __init__(self, calls: int, window_s: float, window: Window, *, refusals_count: bool) -> None:
        self.calls = calls
        self.window_s = window_s
        self._sliding = window == "sliding"
        self._refusals_count = refusals_count
        #: Sliding: the last `calls` calls that counted. More aren't needed: only the oldest of them decides.
        self._times: deque[float] = deque(maxlen=calls)
        #: Fixed: the first call begins the row of windows.
        self._start: float | None = None
        self._index = 0
        self._used = 0

    def take(self, now: float) -> Spent:
        return self._take_sliding(now) if self._sliding else self._take_fixed(now)

    def _take_fixed(self, now: float) -> Spent:
        if self._start is None:
            self._start = now
        index = math.floor((now - self._start) / self.window_s)
        if index != self._index:
            self._index, self._used = index, 0
        allowed = self._used < self.calls
        self._used += allowed
        end = self._start + (index + 1) * self.window_s
        return Spent(allowed, self.calls - self._used, end - now)

    def _take_sliding(self, now: float) -> Spent:
        recent = sum(1 for at in self._times if at > now - self.window_s)
        allowed = recent < self.calls
        if allowed or self._refusals_count:
            self._times.append(now)
        left = self.calls - recent - 1 if allowed else 0
        return Spent(allowed, left, self._times[0] + self.window_s - now)
