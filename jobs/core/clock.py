"""Whose seconds limits, waits and figures go by: the world's, or those of a rehearsal, which pass faster.

What guards processes against each other (heartbeats, time-outs, grace) always goes by the world's.
"""

import time

#: A rehearsal's worker looks for work no more often than this, however short the waits have become.
_SHORTEST_LOOK_S = 0.005


class Clock:
    """The world's time."""

    #: Seconds of this clock that pass in one of the world's.
    speed: float = 1.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def steady(self) -> float:
        """Seconds since some moment; only ever goes forward."""
        return time.monotonic()

    def redis_now_ms(self) -> int | None:
        """The time that Redis is to go by; None: its own."""
        return None

    def poll_interval_s(self, wait_s: float) -> float:
        """The world's seconds after which to look again, when there may be work in `wait_s` of this clock's."""
        return wait_s


class FastClock(Clock):
    """Stands still at the moment of its making until it is started; then `speed` seconds pass in each."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.began_at = time.time()
        self._started: float | None = None

    def start(self) -> None:
        """From now on time passes; once is enough."""
        if self._started is None:
            self._started = time.monotonic()

    def now(self) -> float:
        passed_s = 0.0 if self._started is None else time.monotonic() - self._started
        return self.began_at + passed_s * self.speed

    def steady(self) -> float:
        return self.now()

    def redis_now_ms(self) -> int | None:
        return int(self.now() * 1000)

    def poll_interval_s(self, wait_s: float) -> float:
        return max(wait_s / self.speed, _SHORTEST_LOOK_S) if wait_s > 0 else 0.0


SYSTEM_CLOCK = Clock()
