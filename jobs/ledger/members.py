"""A batch's claims to jobs: made in bulk, made anew (retry) and given up (cancel)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, case, exists, func, select, update

from jobs.ledger.failure_holds import release
from jobs.ledger.member_status import has_claim, is_held, queue_again, standing
from jobs.ledger.records import Batch, Canceled
from jobs.ledger.schema import AnyRow, answers, batches, jobs, members

T = TypeVar("T")

#: Rows per statement: far below SQLite's 32,766 bound values, large enough that round trips don't count.
CHUNK = 1000

_waiting = jobs.c.status.in_(("queued", "scheduled"))


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def retry(connection: Connection, batch: Batch, now: float) -> list[str]:
    """What failed for this batch is claimed anew, with fresh attempts. Returns job ids for the queue.

    If there had been too many failures, the batch goes on.
    """
    failed = _jobs_of(connection, batch, standing == "failed")
    for chunk in chunks(failed):
        ids = [row.id for row in chunk]
        connection.execute(
            update(members).where(members.c.batch == batch.id, members.c.job.in_(ids)).values(ended=None)
        )
        ended = {state: [row.id for row in chunk if row.status == state] for state in ("failed", "canceled")}
        queue_again(connection, finished=[], **ended, for_batch=batch.id, now=now)
    if failed:
        connection.execute(update(batches).where(batches.c.id == batch.id).values(canceled_at=None))
    release(connection, batch)
    return [row.job_id for row in failed]


def cancel(connection: Connection, batch: Batch, now: float) -> Canceled:
    """Give up the claims to what has not started; jobs that nobody else wants end here."""
    count = 0
    orphans: list[str] = []
    kept: list[tuple[str, str]] = []
    for chunk in chunks(_jobs_of(connection, batch, and_(has_claim, _waiting))):
        names = {row.id: row.job_id for row in chunk}
        count += connection.execute(
            update(members)
            .where(members.c.batch == batch.id, members.c.job.in_(names), has_claim)
            .values(ended="canceled")
        ).rowcount
        wanted = _claimants(connection, names)
        kept += [(names[job], batch_id) for job in names if (batch_id := wanted.get(job)) is not None]
        unwanted = [job for job in names if job not in wanted]
        _end(connection, unwanted, now)
        orphans += [names[job] for job in unwanted]
    connection.execute(
        update(batches).where(batches.c.id == batch.id).values(canceled_at=func.coalesce(batches.c.canceled_at, now))
    )
    release(connection, batch)  # nothing waits for the user any more
    return Canceled(count=count, orphans=orphans, kept=kept)


def drop_unclaimed(connection: Connection, job_rows: Iterable[int], now: float) -> None:
    """End those of the jobs that wait although no batch wants them any more."""
    candidates = sorted(job_rows)
    waiting = connection.execute(
        select(jobs.c.id).where(jobs.c.id.in_(candidates), _waiting).order_by(jobs.c.id).with_for_update()
    )
    waiting_ids = list(waiting.scalars())
    wanted = _claimants(connection, waiting_ids)
    _end(connection, [job for job in waiting_ids if job not in wanted], now)


def _jobs_of(connection: Connection, batch: Batch, condition: Any) -> list[AnyRow]:
    """The batch's jobs that meet the condition, each once, locked until the transaction ends.

    Locks are taken in the order of ids, here as everywhere, so that nobody waits in a circle.
    """
    rows = connection.execute(
        select(jobs.c.id, jobs.c.job_id, jobs.c.status)
        .join(members, members.c.job == jobs.c.id)
        .where(members.c.batch == batch.id, condition)
        .order_by(jobs.c.id)
        .with_for_update(of=jobs)
    )
    return list({row.id: row for row in rows}.values())


def _claimants(connection: Connection, job_rows: Iterable[int]) -> dict[int, str | None]:
    """For each job (row id) that some batch claims, the newest such batch's id; None if all of them are on hold."""
    newest = (
        select(members.c.job, func.max(case((~is_held, members.c.batch))).label("batch"))
        .where(members.c.job.in_(list(job_rows)), has_claim)
        .group_by(members.c.job)
        .subquery()
    )
    ids = newest.outerjoin(batches, batches.c.id == newest.c.batch)
    rows = connection.execute(select(newest.c.job, batches.c.batch_id).select_from(ids))
    return {row.job: row.batch_id for row in rows}


def _end(connection: Connection, job_rows: Sequence[int], now: float) -> None:
    """Jobs that nobody wants: canceled, or finished again with the answer that a refresh meant to replace."""
    has_answer = exists().where(answers.c.job == jobs.c.id)
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_rows))
        .values(
            status=case((has_answer, "finished"), else_="canceled"),
            execution_id=None,
            finished_at=case((has_answer, jobs.c.finished_at), else_=now),
        )
    )
