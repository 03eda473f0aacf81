"""A submit's rows, written in bulk: which jobs are new, which are asked again, which are answered already."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, exists, select, update

from jobs.core.errors import InputError
from jobs.core.job import ENDED_STATES
from jobs.ledger import images as pictures
from jobs.ledger import questions
from jobs.ledger.columns import clean
from jobs.ledger.database import upserting
from jobs.ledger.member_status import queue_again
from jobs.ledger.members import drop_unclaimed
from jobs.ledger.records import Added, Batch, NewMember
from jobs.ledger.schema import AnyRow, answers, batches, jobs, members

_new_image = update(jobs).where(jobs.c.id == bindparam("row_id")).values(image=bindparam("new_image"))

_known_columns = (
    jobs.c.id,
    jobs.c.job_id,
    jobs.c.status,
    jobs.c.image,
    jobs.c.queued_at,
    jobs.c.finished_at,
    jobs.c.rehearsal,
    exists().where(answers.c.job == jobs.c.id).label("has_answer"),
)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What counts as an answer for this submit."""

    refresh: bool
    count_rehearsals: bool
    #: What was answered by then counts as cached.
    cached_by: float

    def takes(self, row: AnyRow) -> bool:
        """Whether the answer that the job has will do, even if a refresh is about to replace it or has failed to."""
        return bool(row.has_answer and not self.refresh and (self.count_rehearsals or not row.rehearsal))


def add_chunk(connection: Connection, batch: Batch, rows: Sequence[NewMember], policy: Policy, now: float) -> Added:
    """Write one chunk of a batch. Writing it again, after a crash say, changes nothing."""
    held = _checked(connection, batch).hold_reason is not None
    existing = _known_jobs(connection, rows)
    mine = _mine(connection, batch, existing)
    again = [row for row in existing.values() if _asked_again(row, row.id in mine, batch, policy)]
    pictures.put(connection, rows)
    _insert_new(connection, batch, [row for row in rows if row.job_id not in existing], now)
    _queue_again(connection, again, batch, now)
    known = _known_jobs(connection, rows)
    _update_images(connection, rows, known)
    ended = _write_members(connection, batch, rows, known, policy, renewed={row.id for row in again}, now=now)
    added = _added(rows, known, ended, policy)
    return Added(queue=[], cached=added.cached) if held else added


def _checked(connection: Connection, batch: Batch) -> AnyRow:
    """The batch's row; raises InputError if it was canceled."""
    row = connection.execute(select(batches).where(batches.c.id == batch.id)).one()
    if row.canceled_at is not None:
        raise InputError(f"batch {batch.batch_id} was canceled: nothing is added to it any more")
    return row


def _known_jobs(connection: Connection, rows: Sequence[NewMember]) -> dict[str, AnyRow]:
    """The chunk's jobs that are in the ledger, by job id, locked until the transaction ends."""
    wanted = {row.job_id for row in rows}
    found = connection.execute(
        select(*_known_columns).where(jobs.c.job_id.in_(wanted)).order_by(jobs.c.id).with_for_update()
    )
    return {row.job_id: row for row in found}


def _mine(connection: Connection, batch: Batch, existing: dict[str, AnyRow]) -> set[int]:
    """Those of the jobs (row ids) that this batch claimed before."""
    ids = [row.id for row in existing.values()]
    if not ids:
        return set()
    found = connection.execute(select(members.c.job).where(members.c.batch == batch.id, members.c.job.in_(ids)))
    return set(found.scalars())


def _asked_again(row: AnyRow, mine: bool, batch: Batch, policy: Policy) -> bool:
    """Whether an existing job starts over for this batch. What it asked for once it doesn't ask for twice."""
    if row.status == "finished":
        stale = policy.refresh or (row.rehearsal and not policy.count_rehearsals)
        asked_before_batch = row.queued_at < batch.created_at
        return bool(stale and (asked_before_batch or (row.queued_at == batch.created_at and not mine)))
    if row.status == "failed":
        return not mine and not policy.takes(row)  # what failed for this batch is `retry`'s business
    return bool(row.status == "canceled")


def _insert_new(connection: Connection, batch: Batch, rows: Sequence[NewMember], now: float) -> None:
    if not rows:
        return
    shared = batch.question.id
    asked = {row.job_id: row.question.id if row.question else shared for row in rows}
    questions.put(connection, {asked[row.job_id]: row.question for row in rows if row.question})
    values = {
        row.job_id: {
            "job_id": row.job_id,
            "question_id": asked[row.job_id],
            "image_sha256": row.image_sha256,
            "image": row.image,
            "status": "queued",
            "created_at": now,
            "queued_at": now,
        }
        for row in rows
    }
    # Another submit may be writing the same jobs: sorted, so that the two don't wait for each other.
    insert = upserting(connection, jobs).on_conflict_do_nothing(index_elements=["job_id"])
    connection.execute(insert.returning(jobs.c.id), [values[job_id] for job_id in sorted(values)]).all()


def _queue_again(connection: Connection, rows: Sequence[AnyRow], batch: Batch, now: float) -> None:
    if rows:
        ended = {state: [row.id for row in rows if row.status == state] for state in ENDED_STATES}
        queue_again(connection, **ended, for_batch=batch.id, now=now)


def _update_images(connection: Connection, rows: Sequence[NewMember], known: dict[str, AnyRow]) -> None:
    newest = {row.job_id: row.image for row in rows}
    moved = [
        {"row_id": known[job_id].id, "new_image": image}
        for job_id, image in newest.items()
        if known[job_id].image != image
    ]
    if moved:
        connection.execute(_new_image, sorted(moved, key=lambda row: row["row_id"]))


def _write_members(
    connection: Connection,
    batch: Batch,
    rows: Sequence[NewMember],
    known: dict[str, AnyRow],
    policy: Policy,
    *,
    renewed: set[int],
    now: float,
) -> dict[str, str | None]:
    """Claim the jobs. Returns `ended` of the rows that keep an ending of their own, by custom id."""
    names = [clean(row.custom_id) for row in rows]
    before = {
        row.custom_id: row
        for row in connection.execute(
            select(members.c.custom_id, members.c.job, members.c.ended).where(
                members.c.batch == batch.id, members.c.custom_id.in_(names)
            )
        )
    }
    ended: dict[str, str | None] = {}
    for row, name in zip(rows, names, strict=True):
        old = before.get(name)
        job = known[row.job_id].id
        stays = old is not None and old.job == job and old.ended != "canceled" and job not in renewed
        if stays and old is not None:
            ended[name] = old.ended
        else:
            settled = known[row.job_id].status != "finished" and policy.takes(known[row.job_id])
            ended[name] = "finished" if settled and job not in renewed else None
    insert = upserting(connection, members)
    statement = insert.on_conflict_do_update(
        index_elements=["batch", "custom_id"],
        set_={name: insert.excluded[name] for name in ("position", "job", "ended", "image")},
    )
    connection.execute(
        statement.returning(members.c.job),
        [
            {
                "batch": batch.id,
                "position": row.position,
                "custom_id": row.custom_id,
                "job": known[row.job_id].id,
                "image": row.image,
                "ended": ended[name],
            }
            for row, name in zip(rows, names, strict=True)
        ],
    )
    replaced = {row.job for row in before.values()} - {row.id for row in known.values()}
    if replaced:
        drop_unclaimed(connection, replaced, now)
    return ended


def _added(rows: Sequence[NewMember], known: dict[str, AnyRow], ended: dict[str, str | None], policy: Policy) -> Added:
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
