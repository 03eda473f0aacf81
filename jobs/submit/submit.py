"""Submit: folders in, a batch of jobs in the ledger and on the queues out. Streamed, idempotent, sealed at the end."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jobs.charts.folder_walk import Found, walk
from jobs.charts.image_check import check_image, read_bounded
from jobs.charts.sample import choose
from jobs.charts.storage import stored_path
from jobs.core.errors import InputError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question, canonical_json, job_id
from jobs.lanes import LaneQueues, Priority
from jobs.ledger import Batch, Ledger, NewMember
from jobs.submit.batch_file import RequestsFile, requested

T = TypeVar("T")
R = TypeVar("R")

#: Rows per transaction and per enqueue.
_CHUNK = 500

#: Bytes of pictures per transaction: past it a chunk has fewer rows.
_CHUNK_BYTES = 16_000_000

#: Files read at a time: hashing and check sums run outside Python's lock, so a few more than cores pay off.
_READERS = min(8, 2 * (os.cpu_count() or 1))

#: Files handed to the readers ahead of the one that is waited for.
_AHEAD = 8 * _READERS


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be submitted."""

    paths: Sequence[Path]
    #: Asked about every chart; of a requests file, what its first request asks.
    question: Question
    #: The requests file that `paths` names, if it does: every line has a question of its own.
    requests: RequestsFile | None = None
    name: str | None = None
    recursive: bool = True
    refresh: bool = False
    priority: Priority = "normal"
    chart_root: Path | None = None
    #: Answers of the rehearsal server count as answers (in the rehearsal's own home).
    count_rehearsals: bool = False
    #: So many charts only, spread over the walk; the rest can follow into the same batch.
    sample: int | None = None
    max_failures: FailureLimit | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same PATHs and question: an unfinished batch, or a sample, is found by it."""
        paths = [os.fsencode(path.absolute()).hex() for path in self.paths]
        parts = [paths, self.question.id, self.recursive, self.refresh]
        if self.requests is not None:
            parts.append(self.requests.sha256)
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


@dataclass(kw_only=True)
class Submitted:
    """What came of a submit; `total` accepted images, `cached` of them had their answer already."""

    batch: Batch | None = None
    total: int = 0
    cached: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    #: How many charts there are, if this was a sample of them.
    sample_of: int | None = None

    def document(self) -> dict[str, Any]:
        sample = {} if self.sample_of is None else {"sample_of": self.sample_of}
        return {
            "batch_id": self.batch.batch_id if self.batch else None,
            "total": self.total,
            "queued": self.total - self.cached,
            "cached": self.cached,
            "rejected": self.rejected,
            **sample,
        }

    def sample_sentence(self) -> str | None:
        """What people want to know of a sample."""
        if self.sample_of is None:
            return None
        refused = f" ({len(self.rejected):,} more rejected)" if self.rejected else ""
        return (
            f"sample of {self.total:,} of {self.sample_of:,} charts{refused}; "
            "the rest: the same command without --sample"
        )


@dataclass(frozen=True, kw_only=True)
class Chart:
    """An image file that can be asked about."""

    sha256: str
    #: Its path as the ledger has it.
    stored: str


Progress = Callable[[Submitted], None]


def submit(
    ledger: Ledger,
    queues: LaneQueues,
    order: Order,
    *,
    resume_existing: bool = False,
    progress: Progress = lambda _so_far: None,
    opened: Callable[[Batch], None] = lambda _batch: None,
) -> Submitted:
    """Write the batch into the ledger, then put its jobs on their queue, chunk by chunk; seal it at the end.

    A submit that died is finished by running it again: the unsealed batch of the same fingerprint is taken up,
    and with `resume_existing` (as `run` does) also a sealed one that has open jobs. A sample is taken up in any
    case, complete or not: a larger one and the whole go into its batch.
    Without any accepted image there is no batch. Raises StoreError, QueueError, redis's errors.
    """
    done = Submitted()
    begun_at = time.time()
    found = done.batch = find_batch(ledger, order, resume_existing=resume_existing)
    for chunk in chunked(accepted(order, done, already=charts_in(ledger, order, found)), _CHUNK):
        if done.batch is None:
            done.batch = _open(ledger, order, done)
        elif not done.total:
            _open_again(ledger, order, done.batch)
        opened(done.batch)
        added = ledger.add_members(
            done.batch,
            chunk,
            refresh=order.refresh,
            count_rehearsals=order.count_rehearsals,
            now=time.time(),
            answered_by=begun_at if found and found.sampled_of is not None else None,
        )
        queues.enqueue(added.queue, lane=order.question.lane, batch_id=done.batch.batch_id, priority=order.priority)
        done.total += len(chunk)
        done.cached += added.cached
        progress(done)
    if done.batch is not None:
        ledger.seal(done.batch, time.time(), sampled_of=done.sample_of)
    return done


def find_batch(ledger: Ledger, order: Order, *, resume_existing: bool) -> Batch | None:
    """The batch that the order would go on with. A sample never goes on with what is no sample."""
    if order.sample is not None:
        return ledger.find_batch(order.fingerprint, among="samples")
    return ledger.find_batch(order.fingerprint, among="unfinished" if resume_existing else "unsealed")


def charts_in(ledger: Ledger, order: Order, batch: Batch | None) -> set[str]:
    """What the batch has already, by custom id; nobody needs to know but for a sample."""
    return ledger.custom_ids(batch) if batch is not None and order.sample is not None else set()


def accepted(order: Order, done: Submitted, *, already: Collection[str] = ()) -> Iterator[NewMember]:
    """The order's images as rows, in order; those that are refused go into `done.rejected`.

    `already`: what a sample's batch has so far.
    """
    return _charts(order, done, already) if order.requests is None else _requested(order, order.requests, done)


def _requested(order: Order, requests: RequestsFile, done: Submitted) -> Iterator[NewMember]:
    """One line after another: a line may be large, and what it takes is mostly done within Python's lock."""
    for row in requested(requests, order.chart_root):
        if isinstance(row, NewMember):
            yield row
        else:
            done.rejected.append({"path": f"{printable(requests.path)}:{row.number}", "error": row.error})


def _charts(order: Order, done: Submitted, already: Collection[str]) -> Iterator[NewMember]:
    """Files are read in parallel."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="reader") as pool:
        files = _sampled(order, done, already)
        question_id = order.question.id
        examine = partial(_examine, chart_root=order.chart_root)
        for (position, found), chart in in_order(pool, examine, files):
            if isinstance(chart, Chart):
                yield NewMember(
                    position=position,
                    custom_id=printable(found.custom_id),
                    job_id=job_id(chart.sha256, question_id),
                    image_sha256=chart.sha256,
                    image=chart.stored,
                )
            else:
                done.rejected.append({"path": printable(found.path), "error": chart})


def _sampled(order: Order, done: Submitted, already: Collection[str]) -> Iterator[tuple[int, Found]]:
    """The files to ask about and their positions in the whole walk. For a sample it is walked twice."""
    files = partial(walk, order.paths, recursive=order.recursive)
    if order.sample is None:
        yield from enumerate(files())
        return
    sample = choose((printable(file.custom_id) for file in files()), order.sample, already=already)
    done.sample_of = sample.found if len(sample.positions) < sample.found else None
    yield from (numbered for numbered in enumerate(files()) if numbered[0] in sample.positions)


def printable(path: Path | str) -> str:
    """A path for people and JSON: bytes that are not UTF-8 are shown escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """`work` on each item in the pool's threads, results in the items' order, a bounded number ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) >= _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for item, future in waiting:
        yield item, future.result()


def chunked(rows: Iterator[NewMember], size: int) -> Iterator[list[NewMember]]:
    """At most `size` rows at a time, fewer where they bring pictures along."""
    chunk: list[NewMember] = []
    room = _CHUNK_BYTES
    for row in rows:
        chunk.append(row)
        room -= len(row.picture or b"")
        if len(chunk) == size or room < 0:
            yield chunk
            chunk, room = [], _CHUNK_BYTES
    if chunk:
        yield chunk


def _examine(numbered: tuple[int, Found], chart_root: Path | None) -> Chart | str:
    """The chart in a file, or why it can't be asked about: as text, since an error's traceback holds the bytes."""
    _, found = numbered
    if found.error is not None:
        return found.error
    try:
        data = read_bounded(found.path)
        check_image(data)
        return Chart(sha256=hashlib.sha256(data).hexdigest(), stored=stored_path(found.path, chart_root))
    except InputError as error:
        return str(error)


def _open(ledger: Ledger, order: Order, done: Submitted) -> Batch:
    return ledger.open_batch(
        question=order.question,
        name=order.name,
        fingerprint=order.fingerprint,
        sources=[printable(path) for path in order.paths],
        priority=order.priority,
        now=time.time(),
        sampled_of=done.sample_of,
        max_failures=order.max_failures,
    )


def _open_again(ledger: Ledger, order: Order, batch: Batch) -> None:
    """Go on with a batch. A sample that is complete must not look so while the rest is added."""
    if batch.sampled_of is not None:
        ledger.unseal(batch)
    if order.max_failures is not None and order.max_failures != batch.max_failures:
        ledger.limit_failures(batch, order.max_failures)
