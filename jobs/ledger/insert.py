"""A submit's rows, written in bulk: which jobs are new, which are asked again, which are answered already."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.core.errors import InputError
from jobs.core.job import ENDED_STATES
from jobs.ledger import images, questions
from jobs.ledger.columns import clean, path_from_store, path_to_store
from jobs.ledger.counts import recounted
from jobs.ledger.member_status import queue_again
from jobs.ledger.members import drop_unclaimed
from jobs.ledger.records import Added, Batch, NewMember
from jobs.ledger.transaction import Row, Transaction


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What counts as an answer for this submit."""

    refresh: bool
    count_rehearsals: bool
    #: What was answered by then counts as cached.
    cached_by: float

    def takes(self, row: Row) -> bool:
        """Whether the answer that the job has will do, even if a refresh is about to replace it or has failed to."""
        return bool(row.has_answer and not self.refresh and (self.count_rehearsals or not row.rehearsal))


def add_chunk(tx: Transaction, batch: Batch, rows: Sequence[NewMember], policy: Policy, now: float) -> Added:
    """Write one chunk of a batch. Writing it again, after a crash say, changes nothing."""
    held = _checked(tx, batch).hold_reason is not None
    existing = _known_jobs(tx, rows)
    mine = _mine(tx, batch, existing)
    again = [row for row in existing.values() if _asked_again(row, row.id in mine, batch, policy)]
    before = {row.custom_id: row for row in tx.rows("members_named", batch=batch.id, custom_ids=_names(rows))}
    touched = {row.id for row in existing.values()} | {row.job for row in before.values()}
    tx.values("lock_jobs", jobs=sorted(touched))
    with recounted(tx, touched, newcomers_of=batch.id) as settle:
        images.keep(tx, {sha256: data for row in rows for sha256, data in row.pictures.items()})
        _insert_new(tx, batch, [row for row in rows if row.job_id not in existing], now)
        _queue_again(tx, again, batch, now)
        known = _known_jobs(tx, rows)
        _update_images(tx, rows, known)
        ended = _write_members(tx, batch, rows, known, before, policy, renewed={row.id for row in again})
        replaced = {row.job for row in before.values()} - {row.id for row in known.values()}
        if replaced:
            drop_unclaimed(tx, replaced, now)
        change = settle(row.id for row in known.values()).get(batch.id)
    if change is not None:  # answers from before the batch, and failures, say nothing about it
        tx.run("ended_before_batch", batch=batch.id, failed=change.sums["failed"], ended=change.ended)
    added = _added(rows, known, ended, policy)
    return Added(queue=[], cached=added.cached) if held else added


def _checked(tx: Transaction, batch: Batch) -> Row:
    """The batch's row; raises InputError if it was canceled."""
    [row] = tx.rows("batch_by_row", batch=batch.id)
    if row.canceled_at is not None:
        raise InputError(f"batch {batch.batch_id} was canceled: nothing is added to it any more")
    return row


def _names(rows: Sequence[NewMember]) -> list[str]:
    return [clean(row.custom_id) for row in rows]


def _known_jobs(tx: Transaction, rows: Sequence[NewMember]) -> dict[str, Row]:
    """The chunk's jobs that are in the ledger, by job id, locked until the transaction ends."""
    return {row.job_id: row for row in tx.rows("known_jobs", job_ids=sorted({row.job_id for row in rows}))}


def _mine(tx: Transaction, batch: Batch, existing: dict[str, Row]) -> set[int]:
    """Those of the jobs (row ids) that this batch claimed before."""
    ids = [row.id for row in existing.values()]
    return set(tx.values("claimed_by_batch", batch=batch.id, jobs=ids)) if ids else set()


def _asked_again(row: Row, mine: bool, batch: Batch, policy: Policy) -> bool:
    """Whether an existing job starts over for this batch. What it asked for once it doesn't ask for twice.

    Who asked last is known by the batch's number, not by its time: producers' clocks differ.
    """
    if row.status == "finished":
        stale = policy.refresh or (row.rehearsal and not policy.count_rehearsals)
        return bool(stale and (row.asked_by or 0) < batch.id)
    if row.status == "failed":
        return not mine and not policy.takes(row)  # what failed for this batch is `retry`'s business
    return bool(row.status == "canceled")


def _insert_new(tx: Transaction, batch: Batch, rows: Sequence[NewMember], now: float) -> None:
    if not rows:
        return
    shared = batch.question.id
    asked = {row.job_id: row.question.id if row.question else shared for row in rows}
    questions.put(tx, {asked[row.job_id]: row.question for row in rows if row.question})
    values = {
        row.job_id: {
            "job_id": row.job_id,
            "question_id": asked[row.job_id],
            "image_sha256": row.image_sha256,
            "image": path_to_store(row.image),
            "batch": batch.id,
            "now": now,
        }
        for row in rows
    }
    # Another submit may be writing the same jobs: sorted, so that the two don't wait for each other.
    tx.run_many("insert_job", [values[job_id] for job_id in sorted(values)])


def _queue_again(tx: Transaction, rows: Sequence[Row], batch: Batch, now: float) -> None:
    if rows:
        ended = {state: [row.id for row in rows if row.status == state] for state in ENDED_STATES}
        queue_again(tx, **ended, for_batch=batch.id, now=now)


def _update_images(tx: Transaction, rows: Sequence[NewMember], known: dict[str, Row]) -> None:
    newest = {row.job_id: row.image for row in rows}
    moved = {
        known[job_id].id: image for job_id, image in newest.items() if path_from_store(known[job_id].image) != image
    }
    tx.run_many("move_image", [{"job": job, "image": path_to_store(image)} for job, image in sorted(moved.items())])


def _write_members(
    tx: Transaction,
    batch: Batch,
    rows: Sequence[NewMember],
    known: dict[str, Row],
    before: dict[str, Row],
    policy: Policy,
    *,
    renewed: set[int],
) -> dict[str, str | None]:
    """Claim the jobs. Returns `ended` of the rows that keep an ending of their own, by custom id."""
    ended: dict[str, str | None] = {}
    for row, name in zip(rows, _names(rows), strict=True):
        ended[name] = _ending(before.get(name), known[row.job_id], policy, renewed)
    tx.run_many(
        "put_member",
        [
            {
                "batch": batch.id,
                "position": row.position,
                "custom_id": name,
                "job": known[row.job_id].id,
                "image": path_to_store(row.image),
                "ended": ended[name],
                "source_job": row.source_job,
                "source_at": row.source_at,
            }
            for row, name in zip(rows, _names(rows), strict=True)
        ],
    )
    return ended


def _ending(old: Row | None, job: Row, policy: Policy, renewed: set[int]) -> str | None:
    """The ending of its own that a row has once it is written: the one it had, or an answer that will do."""
    if job.id in renewed:
        return None
    if old is not None and old.job == job.id and old.ended != "canceled":
        ended: str | None = old.ended
        return ended
    return "finished" if job.status != "finished" and policy.takes(job) else None


def _added(rows: Sequence[NewMember], known: dict[str, Row], ended: dict[str, str | None], policy: Policy) -> Added:
    queue: dict[str, None] = {}  # ordered, each once
    cached = 0
    for row in rows:
        job, ending = known[row.job_id], ended[clean(row.custom_id)]
        if "finished" in (ending, job.status):
            cached += job.finished_at <= policy.cached_by
        # A started one is in flight. Redis may have forgotten that just now (the worker's next heartbeat tells it
        # anew): queued here, it would be called for twice. If its worker is lost, recovery puts it back.
        elif ending is None and job.status in ("queued", "scheduled"):
            queue[row.job_id] = None
    return Added(queue=list(queue), cached=cached)
