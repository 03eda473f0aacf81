"""What has ended goes into the ledger, then to Redis; of failures that may pass, the gate hears before."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from jobs.ledger import Ledger
from worker.engine.event_log import log_closing, log_ending
from worker.engine.exchange import Lease, PollResult, Settlement
from worker.engine.lane_client import LaneClient
from worker.engine.settlement import FinishedExecution, change, settlement, verdict_first


class Settler:
    """Keeps what the ledger or Redis could not take until they can. For the loop's thread alone.

    `recorded` is called for each execution whose end stands in the ledger.
    """

    def __init__(self, ledger: Ledger, lane_client: LaneClient, recorded: Callable[[FinishedExecution], None]) -> None:
        self._ledger, self._lane_client, self._recorded = ledger, lane_client, recorded
        self._ended: list[FinishedExecution] = []  # not yet in the ledger
        self._settlements: list[Settlement] = []  # in the ledger, not yet in Redis
        self._owed: Counter[str] = Counter()  # attempts that an outage gives back, not yet in the ledger
        self._answered_lanes: set[str] = set()  # as far as it was looked up

    @property
    def unwritten(self) -> int:
        """Executions that have ended and are not yet in the ledger."""
        return len(self._ended)

    @property
    def executions(self) -> set[str]:
        """That are about to be settled."""
        return {settled.lease.execution for settled in self._settlements}

    @property
    def is_idle(self) -> bool:
        return not self._ended and not self._settlements

    def add(self, ended: Iterable[FinishedExecution]) -> None:
        """They have ended."""
        self._ended.extend(ended)

    def settle(self, settlements: Iterable[Settlement]) -> None:
        """The ledger has nothing to write of these, or has done so."""
        self._settlements.extend(settlements)

    def record(self) -> None:
        """Answers first: they are paid for, whatever becomes of Redis. Raises StoreError, RedisError, OSError."""
        self._write()
        self._hear_failures()
        self._write()

    def poll(
        self, *, want: int, ahead: int, in_flight: int, unready: Sequence[str], in_hand: Sequence[Lease]
    ) -> PollResult:
        """Tell Redis what is recorded, and take jobs. Raises RedisError, OSError, StoreError."""
        settlements = self._settlements
        polled = self._lane_client.poll(
            settlements, want=want, ahead=ahead, in_flight=in_flight, unready=unready, in_hand=in_hand
        )
        _log_closings(polled)
        self._settlements = []
        self._owed.update(polled.give_back)
        return polled

    def record_all(self) -> None:
        """Before leaving: also failures that the gate can't hear of. Raises StoreError."""
        with suppress(RedisError, OSError):
            self._hear_failures()
        self._write(unheard_too=True)

    def finish(self) -> None:
        """Before leaving: tell Redis the rest, and write what it gives back. Raises RedisError, OSError, StoreError."""
        if not self.is_idle:
            self.poll(want=0, ahead=0, in_flight=0, unready=(), in_hand=())
            self.record_all()

    def _hear_failures(self) -> None:
        """In an outage they cost no attempt: only the gate knows."""
        unheard = {
            ending.lease.job: spoken for ending in self._ended if not ending.heard and (spoken := verdict_first(ending))
        }
        if not unheard:
            return
        polled = self._lane_client.poll(list(unheard.values()), want=0, in_flight=0)
        self._owed.update(polled.give_back)
        _log_closings(polled)
        for index, ending in enumerate(self._ended):
            job = ending.lease.job
            if job in unheard and not ending.heard:
                outage = job in polled.give_back
                self._owed[job] -= outage  # the present attempt, which is never written
                self._ended[index] = dataclasses.replace(ending, heard=True, outage=outage)

    def _write(self, *, unheard_too: bool = False) -> None:
        """Into the ledger with all that ended, but for failures that the gate has still to hear of."""
        if owed := {job: attempts for job, attempts in self._owed.items() if attempts > 0}:
            self._ledger.give_back_attempts(owed)
        self._owed.clear()
        ready: list[FinishedExecution] = []
        later: list[FinishedExecution] = []
        for ending in self._ended:
            (ready if unheard_too or ending.heard or not verdict_first(ending) else later).append(ending)
        if not ready:
            return
        self._ledger.record([change(ending) for ending in ready], now=self._lane_client.now())
        for ending in ready:
            log_ending(ending)
            self._recorded(ending)
        self._settlements.extend(self._settled(ending) for ending in ready)
        self._ended = later

    def _settled(self, ending: FinishedExecution) -> Settlement:
        """What fails alike in a lane that has answered says nothing of its other jobs."""
        settled = settlement(ending)
        if settled.kind is None:
            return settled
        lane = ending.lease.lane
        if lane not in self._answered_lanes and self._ledger.was_answered(lane):
            self._answered_lanes.add(lane)
        return dataclasses.replace(settled, kind=None) if lane in self._answered_lanes else settled


def _log_closings(polled: PollResult) -> None:
    for closing in polled.closings:
        log_closing(closing)
