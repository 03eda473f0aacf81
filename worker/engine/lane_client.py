"""The worker's hold on the lanes: take jobs with permits, settle what ended, stay alive. One round trip each."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from redis import Redis

from jobs.batches.pairing import RENEWAL_S
from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.controls import NO_CONTROLS, Controls
from jobs.core.rates import RateLimits
from jobs.lanes import TASK, LaneQueues, Scripts, WorkerEntry
from jobs.lanes.gates import WORKER_LIVE_S, merged_limits, parse_entry
from jobs.lanes.queues import JOB_TIMEOUT_S, rq_time
from worker.engine.exchange import Closing, HeartbeatReply, Lease, PollResult, Settlement

#: Seconds between two heartbeats of a worker and all it has in flight.
HEARTBEAT_S = 5.0

#: Without a heartbeat for this long an execution counts as lost. Three missed heartbeats.
LEASE_S = 15.0

#: RQ's own time to live of an execution: its readers fail a job beyond it, so it must outlive our lease by far.
EXECUTION_TTL_S = 120


@dataclass(frozen=True, kw_only=True)
class HeartbeatTiming:
    """How often a worker's heartbeat comes, and how long it may be silent. Only tests want another one."""

    interval_s: float = HEARTBEAT_S
    lease_s: float = LEASE_S


HEARTBEAT_TIMING = HeartbeatTiming()


class LaneClient:
    """One worker's dealings with the lanes, on one connection, as one account per API kind."""

    def __init__(
        self,
        redis: Redis,
        *,
        worker: str,
        accounts: Mapping[str, str],
        limits: RateLimits,
        ceiling: int | None,
        timing: HeartbeatTiming = HEARTBEAT_TIMING,
        clock: Clock = SYSTEM_CLOCK,
        controls: Callable[[], Controls] = lambda: NO_CONTROLS,
        redis_is_ours: bool = False,
    ) -> None:
        """`controls`: what people have paused and limited, as the ledger has it now; raises QueueError if this Redis
        is a stranger to it.

        `redis_is_ours`: nobody else can have it, as it stands in our home.
        """
        self._redis_is_ours, self._store = redis_is_ours, ""
        self.timing = timing
        self._controls, self._controls_brought = controls, False
        self._brought_at = 0.0  # Unix time: the steady clock stands still while the machine sleeps
        self._clock = clock
        self._scripts, self.queues = Scripts(redis, clock), LaneQueues(redis, clock)
        #: Redis's clock before our steady one, as it was told last.
        self.redis_ahead_s = clock.now() - clock.steady()
        self._worker = worker
        self._accounts = dict(accounts)
        self._own = WorkerEntry(accounts=accounts, limits=limits, ceiling=ceiling)
        self._limits, self._ceiling = limits, ceiling
        #: Polls are numbered, and Redis is told which reply was the last to arrive (see lua/8_workers.lua).
        self._id, self._number, self._heard = uuid4().hex, 0, 0

    def poll(
        self,
        settlements: Sequence[Settlement],
        *,
        want: int,
        in_flight: int,
        unready: Sequence[str] = (),
        ahead: int = 0,
        in_hand: Sequence[Lease] = (),
    ) -> PollResult:
        """Settle, then take up to `want` jobs, and up to `ahead` more that may wait in hand, as those `in_hand` do.
        Only one at a time. `unready`: the lanes of those `in_flight` whose pictures are still made ready.

        May be repeated after an error: what was heard before is ignored, and what was given with a reply that never
        arrived is taken back. A Redis that knows of no controls gets them first: then there are no jobs this time.
        """
        if not self._controls_brought or abs(time.time() - self._brought_at) > RENEWAL_S:
            self.bring_controls()
        self._number += 1
        reply = self._scripts.call_json(
            "poll",
            outcomes=[self._spoken(settlement) for settlement in settlements],
            number=self._number,
            want=want,
            ahead=ahead,
            in_flight=in_flight,
            unready=Counter(unready),
            in_hand=sorted({(lease.lane, lease.queue) for lease in in_hand}),
            executions=_drawn_ids(want + ahead),
            accounts=self._accounts,
            store=self._store,
            **self._about(),
        )
        self._heard = self._number
        self._hear_time(reply)
        self._controls_brought = not reply.get("needs_controls", False)
        return _result_of(reply)

    def bring_controls(self) -> None:
        """Tell Redis what is paused and limited, unless it knows. From any thread.

        Raises StoreError, RedisError, QueueError (this Redis is another store's, or the store has another Redis).
        """
        controls = self._controls()
        self.queues.set_controls(controls, ours=self._redis_is_ours)
        # Only now: a refusal that the maintenance met is the deciding thread's to meet as well, which leaves.
        self._store, self._controls_brought, self._brought_at = controls.store, True, time.time()

    def move(self, settlements: Sequence[Settlement]) -> None:
        """Settle what another worker has left behind. From any thread."""
        outcomes = [self._spoken(settlement) for settlement in settlements]
        self._scripts.call("move", outcomes=outcomes, **self._about())

    def heartbeat(self, leases: Sequence[Lease]) -> HeartbeatReply:
        """Tell Redis that this worker lives, with all it has in flight; learn the limits that hold."""
        reply = self._scripts.call_json(
            "heartbeat",
            worker=self._worker,
            claims=list(map(_named, leases)),
            entry=self._own.to_dict(),
            live_s=WORKER_LIVE_S * self._clock.speed,
            task=TASK,
            timeout_s=JOB_TIMEOUT_S,
            **self._times(),
        )
        self._hear_time(reply)
        self._learn_limits(reply["workers"] or ())
        return HeartbeatReply(
            known_since_ms=reply["known_since_ms"], lost=reply["lost"] or (), queues=reply["queues"] or ()
        )

    def may_maintain(self, seconds: float) -> bool:
        """Whether it is this worker's turn to look after what is lost: nobody else's, for so long."""
        return bool(self._scripts.call("maintain", token=self._id, ttl_ms=int(seconds * 1000)))

    def expired(self, limit: int) -> list[tuple[Lease, str]]:
        """Executions whose worker has been silent for its lease, with that worker's name."""
        reply = self._scripts.call_json("expired", limit=limit)
        self._hear_time(reply)
        return [
            (Lease(job=job, execution=execution, queue=queue, lane=queue.rpartition("@")[0]), worker)
            for job, execution, queue, worker in reply["found"] or ()
        ]

    def now(self) -> float:
        """Seconds since the epoch by Redis's clock, which dates what this worker writes; also while Redis is away."""
        return self._clock.steady() + self.redis_ahead_s

    def leave(self) -> None:
        """This worker is gone; its word on limits no longer counts."""
        self._scripts.call("leave", **self._about())

    def _hear_time(self, reply: Mapping[str, Any]) -> None:
        self.redis_ahead_s = reply["now_ms"] / 1000 - self._clock.steady()

    def _learn_limits(self, workers: Sequence[str]) -> None:
        mine = set(self._accounts.values())
        entries = [entry for published in workers if (entry := parse_entry(published))]
        sharing = [entry for entry in entries if mine & set(entry.accounts.values())]
        self._limits, self._ceiling = merged_limits([self._own, *sharing])

    def _windows(self) -> dict[str, list[list[int]]]:
        models = {
            f"{api}:{model}": windows for model, windows in self._limits.by_model.items() for api in self._accounts
        }
        named = {"*": self._limits.default, **models}
        return {lane: [[w.calls, w.window_ms] for w in windows] for lane, windows in named.items()}

    def _about(self) -> dict[str, Any]:
        """Who settles, and by which limits."""
        return {
            "worker": self._worker,
            "client": self._id,
            "heard": self._heard,
            "windows": self._windows(),
            "ceiling": self._ceiling,
            **self._times(),
        }

    def _times(self) -> dict[str, Any]:
        return {
            "now_iso": rq_time(),
            "lease_ms": int(self.timing.lease_s * self._clock.speed * 1000),
            "execution_ttl_s": EXECUTION_TTL_S,
        }

    def _spoken(self, settlement: Settlement) -> dict[str, Any]:
        lease = settlement.lease
        return {
            **_named(lease),
            "generation": lease.generation,
            "spent_ms": lease.spent_ms,
            "probe": lease.probe,
            "worker": settlement.worker or self._worker,
            "verdict": settlement.verdict,
            "to": settlement.to,
            "hint_ms": _ms(settlement.hint_s),
            "why": settlement.why,
            "scope": settlement.scope,
            "reason": settlement.reason,
            "message": settlement.message,
            "delay_ms": _ms(settlement.delay_s),
            "error": settlement.error,
            "kind": settlement.kind,
            "took_s": round(settlement.took_s, 3),
            "jitter": settlement.jitter,
        }


def _named(lease: Lease) -> dict[str, str]:
    """Which execution it is."""
    names = ("job", "execution", "queue", "lane", "account")
    return {name: getattr(lease, name) for name in names}


def _result_of(reply: Mapping[str, Any]) -> PollResult:
    return PollResult(
        leases=[Lease(**lease) for lease in reply["claims"] or ()],
        refused=[str(job) for job in reply["refused"] or ()],
        wait_s=reply["wait_ms"] / 1000,
        waiting=reply["waiting"],
        give_back=_summed(reply["give_back"] or ()),
        suspended=reply.get("suspended", False),
        recalled=reply["recalled"],
        closings=[
            Closing(lane=lane, why=why, until_s=until_ms / 1000) for lane, why, until_ms in reply["closings"] or ()
        ],
    )


def _drawn_ids(count: int) -> list[str]:
    """As unique as uuid4's, in one call of the system instead of one for each."""
    drawn = os.urandom(16 * count).hex()
    return [drawn[start : start + 32] for start in range(0, len(drawn), 32)]


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _summed(pairs: Sequence[tuple[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for job, attempts in pairs:
        total[job] = total.get(job, 0) + attempts
    return total
