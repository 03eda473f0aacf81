"""When a worker is to leave: told by a signal, by RQ or by its caller, and how long running calls still get."""

import signal
import time
from collections.abc import Callable
from types import FrameType

#: A second signal within this time is the first one, delivered twice (to the group and to the process).
_SAME_SIGNAL_S = 0.3


class Leaving:
    """Once told, no new job is taken; at `left_s() == 0` what still runs is given back."""

    def __init__(self, grace_s: float, told: Callable[[], None]) -> None:
        self._grace_s, self._told = grace_s, told
        self._leave_at: float | None = None
        self._signaled_at = 0.0
        #: The first signal that came, if one did.
        self.signal_received: int | None = None

    @property
    def is_told(self) -> bool:
        return self._leave_at is not None

    @property
    def is_due(self) -> bool:
        """The grace is over."""
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    def left_s(self, at_most_s: float) -> float:
        """Seconds that may be waited: `at_most_s`, or what is left of the grace."""
        return at_most_s if self._leave_at is None else min(at_most_s, max(0.0, self._leave_at - time.monotonic()))

    def tell(self) -> None:
        """Safe from any thread and from signal handlers."""
        if self._leave_at is None:
            self._leave_at = time.monotonic() + self._grace_s
        self._told()

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT: leave within the grace; a second one: now. Only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        again = self.signal_received is not None and now - self._signaled_at > _SAME_SIGNAL_S
        self._signaled_at = now
        self.signal_received = self.signal_received or number
        self.tell()
        if again:
            self._leave_at = now
