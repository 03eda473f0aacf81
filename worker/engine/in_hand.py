"""How many jobs to have in hand for the calls that end next, so that a thread goes on at once.

Otherwise it waits for the loop: until the answer is in the ledger, Redis has heard of it and given another job. With
more jobs in hand, answers can wait for company without any thread waiting for them. Only in fair weather: after
anything but an answer there are none until answers come again, since what is in hand may be what must not be called.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from jobs.ledger import StartedJob
from worker.engine.exchange import Lease
from worker.engine.execute import ExecutionResult
from worker.engine.policy import Done, NotBegun, Outcome
from worker.engine.settlement import FinishedExecution

#: The pace is that of so many seconds.
_PACE_OVER_S = 1.0

#: With fewer threads a round is soon over, and whoever kills the worker repeats no more calls than it has threads.
_MANY_THREADS = 50

#: Nobody waits in hand for longer: another worker may be free.
LONGEST_S = 1.0

#: So often a worker with jobs in hand asks whether something speaks against them.
LOOK_EVERY_S = 0.25


class Begun(NamedTuple):
    """A job that stands in the ledger as started, for a thread."""

    lease: Lease
    job: StartedJob
    #: By the steady clock.
    at_s: float
    #: No thread was free for it.
    in_hand: bool


class InHand:
    """The decision; times are seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, int]] = deque()

    def hear(self, outcomes: Sequence[Outcome], now: float) -> bool:
        """What has ended since the last time. Returns whether the weather is fair."""
        while self._answers and self._answers[0][0] <= now - _PACE_OVER_S:
            self._answers.popleft()
        if not all(isinstance(outcome, Done) for outcome in outcomes):
            self._answers.clear()
            return False
        if outcomes:
            self._answers.append((now, len(outcomes)))
        return True

    def wanted(self, threads: int) -> int:
        """As many as ended in the busiest round, but no more than end in half a second, or than half the `threads`."""
        if threads < _MANY_THREADS:
            return 0
        counts = [count for _, count in self._answers]
        return min(max(counts, default=0), sum(counts) // 2, threads // 2)


def not_begun(begun: Begun) -> FinishedExecution:
    """The job goes back as it came: it only waited in hand."""
    ended = ExecutionResult(outcome=NotBegun())
    return FinishedExecution(lease=begun.lease, ended=ended, batch_id=begun.job.batch_id)
