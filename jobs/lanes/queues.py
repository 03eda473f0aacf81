"""The queues: one RQ queue per lane and batch. Jobs go in here; workers take them out (lua/6_take.lua).

A queue holds at most WINDOW jobs, about 400 bytes of Redis each. Of a larger batch the others wait in the ledger alone;
maintenance brings them in order when the queue is half empty (`jobs.batches.reconcile`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.controls import Controls
from jobs.core.errors import QueueError
from jobs.core.pages import pages
from jobs.lanes.scripts import TASK, Scripts, text

if TYPE_CHECKING:
    from redis import Redis

Priority = Literal["high", "normal", "low"]
_RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}

#: Ids per script call: keeps Redis busy for about 5 ms at a time.
_PAGE = 1000

#: Jobs of one queue in Redis: a thousand a second take half of them in 25 s, and maintenance looks every two.
WINDOW = 50_000

#: A store that nobody has worked with for so long, and that has no jobs here, has left this Redis. Workers say every
#: two seconds that they are there.
_CLAIM_MS = 30_000

#: RQ shows it as the job's time-out; the worker's own deadline per call is what counts.
JOB_TIMEOUT_S = 600


def queue_name(lane: str, batch_id: str) -> str:
    """The RQ queue that holds this batch's jobs of this lane."""
    return f"{lane}@{batch_id}"


def rq_time() -> str:
    """Now, as RQ writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Jobs of a lane in Redis by state, all batches together."""

    lane: str
    queued: int
    scheduled: int
    started: int


class LaneQueues:
    """The producer's hold on the queues. Every method may be repeated without harm."""

    def __init__(self, redis: "Redis", clock: Clock = SYSTEM_CLOCK) -> None:
        self._redis = redis
        self._scripts = Scripts(redis, clock)

    def enqueue(self, job_ids: Sequence[str], *, lane: str, batch_id: str, priority: Priority = "normal") -> int:
        """Put jobs on the batch's queue, unless Redis has them as open already. Returns how many were new.

        What the queue has no room for waits in the ledger.
        """
        new, _ = self.put_back(job_ids, lane=lane, batch_id=batch_id, priority=priority, bounded=True, notes=True)
        return new

    def put_back(
        self,
        job_ids: Sequence[str],
        *,
        lane: str,
        batch_id: str,
        priority: Priority,
        bounded: bool,
        notes: bool,
        in_order: bool = False,
    ) -> tuple[int, int]:
        """`enqueue` for what stands in the ledger. Returns how many were new, and how many found no room.

        `in_order`: the caller goes through the ledger's rows from the first. `notes`: those without room are to be
        counted, as they are not yet. `bounded`: by the window.
        """
        new, no_room = 0, 0
        for page in pages(job_ids, _PAGE):
            done = self._scripts.call(
                "enqueue",
                lane=lane,
                queue=queue_name(lane, batch_id),
                priority=_RANKS[priority],
                ids=page,
                window=WINDOW if bounded else None,
                in_order=in_order,
                notes=notes,
                task=TASK,
                timeout_s=JOB_TIMEOUT_S,
                now_iso=rq_time(),
            )
            new, no_room = new + done[0], no_room + done[1]
        return new, no_room

    def half_empty(self) -> list[tuple[str, str]]:
        """Lanes and batches (ids) of which jobs wait in the ledger alone, and whose queues have room for them."""
        queues = [text(queue).rpartition("@") for queue in self._scripts.call("half_empty", window=WINDOW)]
        return [(lane, batch_id) for lane, _, batch_id in queues]

    def nothing_beyond(self, *, lane: str | None = None, batch_id: str = "") -> None:
        """Nothing of the batch (without a lane: of any) waits in the ledger alone."""
        self._scripts.call("nothing_beyond", queue=None if lane is None else queue_name(lane, batch_id))

    def owner(self, controls: Controls, *, ours: bool, new_id: str | None) -> tuple[str | None, list[str]]:
        """This Redis's own name (`new_id` if it had none), and jobs in it whose store is not told, if any.

        Raises QueueError if it is another store than the controls'; `ours`: see `set_controls`.
        """
        reply = self._scripts.call_json(
            "owner",
            store=controls.store,
            label=controls.label,
            ours=ours or None,
            claim_ms=_CLAIM_MS,
            new_id=new_id,
        )
        if other := reply.get("other"):
            raise _in_use(other, controls)
        return reply.get("id"), list(reply["jobs"] or ())

    def set_controls(self, controls: Controls, *, ours: bool = False) -> None:
        """Tell Redis what is paused and limited, unless it has that or newer; it holds from the next call on.

        Raises QueueError if another results store works through this Redis: their workers would take each other's jobs.
        One that is `ours` alone, the embedded one, is taken over from a store that nobody works with any more.
        """
        other = self._scripts.call(
            "set_controls",
            store=controls.store,
            label=controls.label,
            version=controls.version,
            json=controls.to_json(),
            ours=ours or None,
            claim_ms=_CLAIM_MS,
        )
        if isinstance(other, bytes):
            raise _in_use(text(other), controls)

    def check(self) -> None:
        """A write that changes nothing; raises RedisError where a lack of rights or of disk would refuse a job."""
        self._redis.delete("chartq:doctor")

    def unknown(self, job_ids: Sequence[str]) -> list[str]:
        """Those of `job_ids` that Redis doesn't have as queued, started or scheduled."""
        return [text(job_id) for page in pages(job_ids, _PAGE) for job_id in self._scripts.call("unknown", ids=page)]

    def now(self) -> float:
        """Seconds since the epoch by Redis's clock: what several hosts compare was told by one. Never goes back."""
        return float(self._scripts.call("now")) / 1000

    def known_since_s(self) -> float:
        """Since when this Redis remembers us (Unix time); from now on, if it has been flushed."""
        return float(self._scripts.call("known_since")) / 1000

    def drop(self, *, lane: str, batch_id: str) -> int:
        """Empty a batch's queue, waiting and delayed jobs alike. Returns how many there were."""
        dropped = 0
        while gone := int(self._scripts.call("drop", lane=lane, queue=queue_name(lane, batch_id), limit=_PAGE)):
            dropped += gone
        return dropped

    def lanes(self) -> list[str]:
        """Lanes that have work waiting, the one served longest ago first."""
        return [text(lane) for lane in self._redis.zrange("chartq:lanes", 0, -1)]

    def depths(self, lanes: Iterable[str]) -> list[Depth]:
        """How many jobs of each lane stand in Redis; O(batches of the lane)."""
        rows = self._scripts.call_json("depths", lanes=list(lanes))
        return [
            Depth(lane=lane, queued=queued, scheduled=scheduled, started=started)
            for lane, queued, scheduled, started in rows
        ]


def _in_use(other: str, controls: Controls) -> QueueError:
    return QueueError(
        f"this Redis is in use by another project, with the results store {other}; ours is "
        f"{controls.label}, and their workers would take each other's jobs. Use another Redis, or another "
        "database of it (REDIS_URL=redis://HOST:PORT/1), or that project's RESULTS_URL"
    )
