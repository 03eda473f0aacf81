"""Submit: a source's rows in, a batch in the ledger and on the queues out. Streamed, idempotent, sealed at the end."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.core.errors import InputError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question, canonical_json
from jobs.core.text import counted
from jobs.ledger import Batch, Ledger, NewMember
from jobs.submit.source import Rejected, Rows, Source

if TYPE_CHECKING:
    from jobs.lanes import LaneQueues, Priority

#: Rows per transaction and per enqueue.
_CHUNK = 500

#: Bytes of pictures per transaction: past it a chunk has fewer rows.
_CHUNK_BYTES = 16_000_000


#: Of a batch's name.
NAME_CHARS = 500


def check_name(name: str | None) -> str | None:
    """The batch's name as it is. Raises InputError: too long to be shown."""
    if name is not None and len(name) > NAME_CHARS:
        raise InputError(f"the name has {len(name):,} characters; at most {NAME_CHARS} are taken")
    return name


@dataclass(frozen=True, kw_only=True)
class Order:
    source: Source
    name: str | None = None
    refresh: bool = False
    priority: "Priority" = "normal"
    #: Answers of the rehearsal server count as answers (in the rehearsal's own home).
    count_rehearsals: bool = False
    max_failures: FailureLimit | None = None
    #: The batch whose answers are asked about.
    source_batch: str | None = None
    #: The name of the key that it came with.
    owner: str | None = None

    @property
    def question(self) -> Question:
        return self.source.question

    @property
    def fingerprint(self) -> str:
        """The same for the same source and question: an unfinished batch, or a sample, is found by it."""
        # The fourth: so stores have it that were written before sources were told apart.
        parts = [*self.source.identity[:3], self.refresh, *self.source.identity[3:]]
        if self.owner:
            parts.append(["owner", self.owner])  # nobody goes on with another's
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


@dataclass(kw_only=True)
class Submitted:
    """What came of a submit; `total` accepted images, `cached` of them had their answer already."""

    batch: Batch | None = None
    total: int = 0
    cached: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    #: How many charts there are, if this was a sample of them.
    sample_of: int | None = None
    #: How many are larger than what is sent, and the least share of its sides that one goes out with.
    shrunk: int = 0
    smallest_scale: float = 1.0

    def note_sizes(self, rows: Iterable[NewMember], question: Question) -> None:
        """Rows that were accepted."""
        for row in rows:
            limit, _ = (row.question or question).picture_limits
            if row.longest_side > limit:
                self.shrunk += 1
                self.smallest_scale = min(self.smallest_scale, limit / row.longest_side)

    def document(self) -> dict[str, Any]:
        sample = {} if self.sample_of is None else {"sample_of": self.sample_of}
        return {
            "batch_id": self.batch.batch_id if self.batch else None,
            "total": self.total,
            "queued": self.total - self.cached,
            "cached": self.cached,
            "rejected": [reject.to_json() for reject in self.rejected],
            "shrunk": self.shrunk,
            **sample,
        }

    def sample_sentence(self) -> str | None:
        """What people want to know of a sample."""
        if self.sample_of is None:
            return None
        refused = f" ({len(self.rejected):,} more rejected)" if self.rejected else ""
        return (
            f"sample of {self.total:,} of {counted(self.sample_of, 'chart')}{refused}; "
            "the rest: the same command without --sample"
        )


Progress = Callable[[Submitted], None]


def submit(
    ledger: Ledger,
    queues: "LaneQueues",
    order: Order,
    *,
    resume_existing: bool = False,
    more_to_come: bool = False,
    progress: Progress = lambda _so_far: None,
    opened: Callable[[Batch], None] = lambda _batch: None,
    into: Batch | None = None,
    enqueues: bool = True,
) -> Submitted:
    """Write the batch into the ledger, then put its jobs on their queue, chunk by chunk; seal it at the end.

    A submit that died is finished by running it again: the unsealed batch of the same fingerprint is taken up,
    and with `resume_existing` (as `run` does) also a sealed one that has open jobs. A sample is taken up in any
    case, complete or not: a larger one and the whole go into its batch. So is a batch about another's answers, which
    stays open with `more_to_come`.
    `into`: the batch that it goes into. Without `enqueues` its rows stand in the ledger alone.
    Without any accepted image there is no batch. Raises StoreError, QueueError, redis's errors.
    """
    done = Submitted()
    begun_at = queues.now()
    found = done.batch = into or find_batch(ledger, order, resume_existing=resume_existing)
    rows = rows_of(ledger, order, found)
    done.sample_of = rows.sample_of
    for chunk in chunked(accepted(rows.items, done.rejected), _CHUNK):
        if done.batch is None:
            done.batch = _open(ledger, order, done, begun_at)
        elif not done.total:
            _open_again(ledger, order, done.batch)
        opened(done.batch)
        added = ledger.add_members(
            done.batch,
            chunk,
            refresh=order.refresh,
            count_rehearsals=order.count_rehearsals,
            now=queues.now(),
            answered_by=begun_at if found and (order.source.grows or found.sampled_of is not None) else None,
        )
        if enqueues:
            queues.enqueue(added.queue, lane=order.question.lane, batch_id=done.batch.batch_id, priority=order.priority)
        done.total += len(chunk)
        done.note_sizes(chunk, order.question)
        done.cached += added.cached
        progress(done)
    if done.batch is not None and not more_to_come:
        ledger.seal(done.batch, queues.now(), sampled_of=done.sample_of)
    if order.source.grows:
        _tell_of_whole_batch(ledger, done)
    return done


def _tell_of_whole_batch(ledger: Ledger, done: Submitted) -> None:
    """What has ended is not asked again; what waits is queued, whenever it was added."""
    if done.batch is not None:
        counts = ledger.counts(done.batch, recent_since=0)
        done.total, done.cached = counts.total, counts.total - counts.open


def find_batch(ledger: Ledger, order: Order, *, resume_existing: bool) -> Batch | None:
    """The batch that the order would go on with. A sample never goes on with what is no sample."""
    if order.source.grows:
        return ledger.find_batch(order.fingerprint, among="any")
    if order.source.sample is not None:
        return ledger.find_batch(order.fingerprint, among="samples")
    return ledger.find_batch(order.fingerprint, among="unfinished" if resume_existing else "unsealed")


def rows_of(ledger: Ledger, order: Order, batch: Batch | None) -> Rows:
    """The source's rows; of a sample those that go well with what the batch has already."""
    wanted = batch is not None and order.source.sample is not None
    return order.source.rows(ledger.custom_ids(batch) if batch is not None and wanted else frozenset(), batch)


def accepted(items: Iterable[NewMember | Rejected], rejected: list[Rejected]) -> Iterator[NewMember]:
    """The rows that can be asked about; the others go into `rejected`."""
    for item in items:
        if isinstance(item, NewMember):
            yield item
        else:
            rejected.append(item)


def chunked(rows: Iterator[NewMember], size: int) -> Iterator[list[NewMember]]:
    """At most `size` rows at a time, fewer where they bring pictures along."""
    chunk: list[NewMember] = []
    room = _CHUNK_BYTES
    for row in rows:
        chunk.append(row)
        room -= sum(map(len, row.pictures.values()))
        if len(chunk) == size or room < 0:
            yield chunk
            chunk, room = [], _CHUNK_BYTES
    if chunk:
        yield chunk


def _open(ledger: Ledger, order: Order, done: Submitted, now: float) -> Batch:
    return ledger.open_batch(
        question=order.question,
        name=order.name,
        fingerprint=order.fingerprint,
        sources=order.source.labels,
        priority=order.priority,
        now=now,
        sampled_of=done.sample_of,
        max_failures=order.max_failures,
        source=order.source_batch,
        owner=order.owner,
    )


def _open_again(ledger: Ledger, order: Order, batch: Batch) -> None:
    """Go on with a batch. A sample that is complete must not look so while the rest is added."""
    if batch.sampled_of is not None or order.source.grows:
        ledger.unseal(batch)
    if order.max_failures is not None and order.max_failures != batch.max_failures:
        ledger.limit_failures(batch, order.max_failures)
