"""What a worker's loop is told: executions that have ended, and that it is time to look."""

import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from worker.engine.policy import Done
from worker.engine.settlement import FinishedExecution

#: An answer waits for others to be settled with it, for this share of what its own call took, at most so many seconds.
#: A round of the loop costs about the same for one as for ten. With jobs in hand no thread waits for it.
_BATCHING_SHARE, _SHARE_IN_HAND, _BATCHING_MOST_S = 0.01, 0.05, 0.05
_LOOKS = 5


class Completions:
    """Filled from any thread, emptied by the loop."""

    def __init__(self) -> None:
        self._events: SimpleQueue[FinishedExecution | None] = SimpleQueue()

    def put(self, ending: FinishedExecution) -> None:
        """An execution has ended."""
        self._events.put(ending)

    def wake(self) -> None:
        """Let the loop look."""
        self._events.put(None)

    def wait(self, wait_s: float, *, in_flight: int, in_hand: int = 0) -> list[FinishedExecution]:
        """All that has ended, after `wait_s` at most; nothing if it was woken or nothing came."""
        endings = self._come(wait_s)
        pause_s, paused_s = batching_delay_s(endings, in_flight=in_flight, in_hand=in_hand), 0.0
        step_s = pause_s / _LOOKS if in_hand else pause_s
        while paused_s < pause_s and not (in_hand and len(endings) >= in_hand):
            time.sleep(step_s)
            paused_s += step_s
            endings += self._come(0.0)
        return endings

    def _come(self, wait_s: float) -> list[FinishedExecution]:
        events: list[FinishedExecution | None] = []
        try:
            events.append(self._events.get(timeout=wait_s) if wait_s > 0 else self._events.get_nowait())
            while True:
                events.append(self._events.get_nowait())
        except Empty:
            return [event for event in events if event is not None]


def batching_delay_s(endings: Sequence[FinishedExecution], *, in_flight: int, in_hand: int) -> float:
    """Seconds to wait for more endings; 0 where no other can come, and where a gate has to hear of a refusal."""
    if not endings or len(endings) >= in_flight or not all(isinstance(one.ended.outcome, Done) for one in endings):
        return 0.0
    if in_hand and len(endings) >= in_hand:
        return 0.0  # threads wait for the loop already
    share = _SHARE_IN_HAND if in_hand else _BATCHING_SHARE
    return min(_BATCHING_MOST_S, share * min(one.ended.latency_s for one in endings))
