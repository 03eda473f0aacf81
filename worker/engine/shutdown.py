"""When a worker is to leave: told by a signal, by RQ or by its caller, and how long running calls still get."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("chartq.worker")

#: Seconds beyond the grace that giving back and goodbyes may take. Then whatever hangs (Redis that swallows
#: packets, a locked store) is left to the leases, which run out by themselves.
_GOODBYE_S = 10.0

#: A second signal within this time is the first one, delivered twice (to the group and to the process).
_SAME_SIGNAL_S = 0.3


class Shutdown:
    """Once told, no new job is taken; at `left_s() == 0` what still runs is given back."""

    def __init__(self, grace_s: float, told: Callable[[], None]) -> None:
        self._grace_s, self._told = grace_s, told
        self._leave_at: float | None = None
        self._signaled_at = 0.0
        self._last_resort: threading.Timer | None = None
        #: What to leave with when even the goodbye hangs; told the signal that came.
        self.overdue_code: Callable[[int | None], int] = lambda _signal: 0
        #: The first signal that came, if one did.
        self.signal_received: int | None = None

    @property
    def is_requested(self) -> bool:
        return self._leave_at is not None

    @property
    def is_overdue(self) -> bool:
        """The grace is over."""
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def left_s(self, at_most_s: float) -> float:
        """Seconds that may be waited: `at_most_s`, or what is left of the grace."""
        return at_most_s if self._leave_at is None else min(at_most_s, max(0.0, self._leave_at - time.monotonic()))

    def request(self) -> None:
        """Safe from any thread and from signal handlers."""
        if self._leave_at is None:
            self._leave_by(self._grace_s)
        self._told()

    def complete(self) -> None:
        """The worker has left in order."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _leave_by(self, seconds: float) -> None:
        self._leave_at = time.monotonic() + seconds
        self.complete()
        self._last_resort = threading.Timer(seconds + _GOODBYE_S, self._leave_at_once)
        self._last_resort.daemon = True
        self._last_resort.start()

    def _leave_at_once(self) -> None:
        log.warning("left without goodbye: Redis or the results store did not answer in time")
        os._exit(self.overdue_code(self.signal_received))

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT: leave within the grace; a second one: now. Only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        again = self.signal_received is not None and now - self._signaled_at > _SAME_SIGNAL_S
        self._signaled_at = now
        self.signal_received = self.signal_received or number
        self.request()
        if again:
            self._leave_by(0.0)
