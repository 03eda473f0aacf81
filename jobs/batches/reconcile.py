"""Put back on the queues what Redis has lost: every unfinished job of the ledger that Redis no longer knows, once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from jobs.ledger import Batch, Ledger, OpenJob

if TYPE_CHECKING:
    from jobs.lanes import LaneQueues, Priority

#: Rows looked at in one page. A worker does so beside its calls: 2,000 of them took over a megabyte.
PAGE = 400

#: Workers write down anew what they have in flight with their next heartbeat (every 5 s): a job that stands as
#: started is nobody's only when two of them have passed.
TWO_HEARTBEATS_S = 10.0

#: A job that was lost with its worker runs alone; the third loss while alone is its last.
MAX_LOSSES = 3

#: Stands in for the batch in the name of the queue of jobs that run alone (see lua/6_take.lua).
ALONE = "alone"


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """What came of looking at some rows."""

    put_back: int = 0
    failed: int = 0
    #: For which their queue had no room.
    beyond: int = 0
    #: Started jobs whose worker may still report them; look again in TWO_HEARTBEATS_S.
    left_alone: int = 0

    def __add__(self, other: "Requeued") -> "Requeued":
        return Requeued(
            put_back=self.put_back + other.put_back,
            failed=self.failed + other.failed,
            beyond=self.beyond + other.beyond,
            left_alone=self.left_alone + other.left_alone,
        )


def put_back_all(ledger: Ledger, queues: "LaneQueues", *, batch: Batch | None = None) -> Requeued:
    """Look at every open row (of one batch, if given)."""
    total = Requeued()
    if batch is None:
        queues.nothing_beyond()
    else:
        queues.nothing_beyond(lane=batch.question.lane, batch_id=batch.batch_id)
    for page in _pages(ledger, batch):
        total += requeue_missing(ledger, queues, page, in_order=True, notes=True)
    return total


def refill(ledger: Ledger, queues: "LaneQueues", batch: Batch) -> None:
    """Bring the batch's next jobs, as many as its queue has room for."""
    for page in _pages(ledger, batch):
        if requeue_missing(ledger, queues, page, in_order=True).beyond:
            return
    queues.nothing_beyond(lane=batch.question.lane, batch_id=batch.batch_id)


def requeue_missing(
    ledger: Ledger, queues: "LaneQueues", rows: Sequence[OpenJob], *, in_order: bool = False, notes: bool = False
) -> Requeued:
    """Put back those of `rows` that Redis doesn't know. May run anywhere, at any time, twice at once.

    What nobody wants now waits in the ledger alone: batches that were put on hold themselves have no queue.
    `in_order`, `notes`: see `LaneQueues.put_back`.
    """
    theirs = [row for row in rows if row.batch_id is not None or row.status == "started"]
    unknown = set(queues.unknown([row.job_id for row in theirs]))
    missing = [row for row in theirs if row.job_id in unknown]
    started = [row for row in missing if row.status == "started"]
    known_since, now = (queues.known_since_s(), queues.now()) if started else (0.0, 0.0)
    gone = [row for row in started if is_given_up(row.started_at, known_since, now)]
    lost = ledger.lose([(row.job_id, row.execution_id or "") for row in gone], max_losses=MAX_LOSSES, now=now)
    again = set(lost.again)
    waiting = [row for row in missing if row.batch_id and (row.status != "started" or row.job_id in again)]
    new, beyond = _enqueue(queues, waiting, alone=again, in_order=in_order, notes=notes)
    return Requeued(
        put_back=new,
        failed=len(lost.failed),
        beyond=beyond,
        left_alone=len(started) - len(gone),
    )


def drop_held(ledger: Ledger, queues: "LaneQueues") -> dict[str, int]:
    """Take what batches on hold have in Redis off their queues, but for what others want. How many went, by batch."""
    gone: dict[str, int] = {}
    for batch in ledger.held():
        dropped = queues.drop(lane=batch.question.lane, batch_id=batch.batch_id)
        if dropped:
            gone[batch.batch_id] = max(0, dropped - put_back_all(ledger, queues, batch=batch).put_back)
    return gone


def is_given_up(started_at: float | None, known_since: float, now: float) -> bool:
    """Nobody has spoken of it for two heartbeats. All times are Redis's; a start that lies ahead another Redis told."""
    if started_at is None or started_at - now > TWO_HEARTBEATS_S:
        started_at = 0.0
    return now - max(started_at, known_since) >= TWO_HEARTBEATS_S


def _enqueue(
    queues: "LaneQueues", rows: Sequence[OpenJob], *, alone: set[str], in_order: bool, notes: bool
) -> tuple[int, int]:
    by_queue: dict[tuple[str, str, Priority], list[str]] = defaultdict(list)
    for row in rows:
        batch_id = ALONE if row.losses > 0 or row.job_id in alone else str(row.batch_id)
        by_queue[row.lane, batch_id, cast("Priority", row.priority or "normal")].append(row.job_id)
    new, beyond = 0, 0
    for (lane, batch_id, priority), job_ids in by_queue.items():
        bounded = batch_id != ALONE
        found = queues.put_back(
            job_ids,
            lane=lane,
            batch_id=batch_id,
            priority=priority,
            bounded=bounded,
            in_order=in_order,
            notes=notes,
        )
        new, beyond = new + found[0], beyond + found[1]
    return new, beyond


def _pages(ledger: Ledger, batch: Batch | None) -> Iterator[Sequence[OpenJob]]:
    after_id = 0
    while rows := ledger.open_jobs(after_id, PAGE, batch=batch):
        yield rows
        after_id = rows[-1].id
