"""A request budget as providers keep it: so many calls per window."""

import math
from collections import deque

from worker.rehearsal.behaviour import Window


class Budget:
    """At most `calls` per `window_s` seconds; `now` in seconds of any clock that only goes forward."""

    def __init__(self, calls: int, window_s: float, window: Window) -> None:
        self._calls, self._window_s = calls, window_s
        self._sliding = window == "sliding"
        #: Sliding: the last `calls` calls, refused ones too. More aren't needed: only the oldest of them decides.
        self._times: deque[float] = deque(maxlen=calls)
        #: Fixed: the first call begins the row of windows.
        self._start: float | None = None
        self._index = self._used = 0

    def take(self, now: float) -> float:
        """A call: 0 if it is within the budget, else the seconds until there is room."""
        return self._take_sliding(now) if self._sliding else self._take_fixed(now)

    def _take_fixed(self, now: float) -> float:
        if self._start is None:
            self._start = now
        index = math.floor((now - self._start) / self._window_s)
        if index != self._index:
            self._index, self._used = index, 0
        if self._used < self._calls:
            self._used += 1
            return 0.0
        return self._start + (index + 1) * self._window_s - now

    def _take_sliding(self, now: float) -> float:
        is_full = sum(at > now - self._window_s for at in self._times) >= self._calls
        self._times.append(now)
        return self._times[0] + self._window_s - now if is_full else 0.0
