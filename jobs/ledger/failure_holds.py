"""Batches that go on hold by themselves: too many of their jobs have failed.

A batch with a limit carries how many more failures it takes at least to reach it (`failures_left`). Each failure
takes one off, in the transaction that writes it; only at zero are the rows counted. So a failure costs the same in
a batch of ten and of 100,000, and a success nothing.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, case, func, select, update

from jobs.core.failure_limit import FailureLimit
from jobs.ledger.member_status import has_claim, standing
from jobs.ledger.records import Batch
from jobs.ledger.schema import AnyRow, batches, jobs, members

#: `hold.reason` of such a batch.
TOO_MANY_FAILURES = "too_many_failures"

#: Characters of an error's message that the hold repeats.
_ERROR_CHARS = 200


def count_failures(connection: Connection, failed: Sequence[int], now: float) -> None:
    """These jobs (row ids) have just failed: batches whose limit is reached go on hold."""
    found = connection.execute(
        select(members.c.batch, func.count().label("rows"))
        .join(batches, batches.c.id == members.c.batch)
        .where(members.c.job.in_(failed), has_claim, batches.c.max_failures.is_not(None))
        .group_by(members.c.batch)
    )
    rows_failed = {row.batch: row.rows for row in found}
    if not rows_failed:
        return
    limited = connection.execute(
        select(batches)
        .where(batches.c.id.in_(rows_failed), batches.c.hold_reason.is_(None), batches.c.canceled_at.is_(None))
        .order_by(batches.c.id)
        .with_for_update()
    ).all()
    for batch in limited:
        left = batch.failures_left - rows_failed[batch.id]
        values = {"failures_left": left} if left > 0 else _looked_at(connection, batch, now)
        connection.execute(update(batches).where(batches.c.id == batch.id).values(values))


def release(connection: Connection, batch: Batch) -> None:
    """The batch is not on hold by itself any more; its rows are counted at its next failure."""
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(hold_reason=None, hold_message=None, hold_since=None, failures_left=0)
    )


def resume(connection: Connection, batch: Batch, now: float) -> bool:
    """Release the batch, and count its failures from now on. Returns whether it was on hold."""
    held = connection.execute(select(batches.c.hold_reason).where(batches.c.id == batch.id)).scalar_one() is not None
    if held:
        release(connection, batch)
        connection.execute(update(batches).where(batches.c.id == batch.id).values(failures_since=now))
    return held


def limit(connection: Connection, batch: Batch, max_failures: FailureLimit) -> None:
    """From now on this many failures of the batch are too many."""
    connection.execute(
        update(batches).where(batches.c.id == batch.id).values(max_failures=str(max_failures), failures_left=0)
    )


def _looked_at(connection: Connection, batch: AnyRow, now: float) -> dict[str, str | float | None]:
    """What to write after counting the batch's rows."""
    limit = FailureLimit.parse(batch.max_failures)
    since = batch.created_at if batch.failures_since is None else batch.failures_since
    ours = and_(members.c.batch == batch.id, jobs.c.finished_at > since)
    counted = connection.execute(
        select(
            func.sum(case((standing == "failed", 1), else_=0)).label("failed"),
            func.sum(case((standing.in_(("finished", "failed")), 1), else_=0)).label("ended"),
        )
        .join(jobs, jobs.c.id == members.c.job)
        .where(ours)
    ).one()
    failed, ended = int(counted.failed or 0), int(counted.ended or 0)
    left = limit.left(failed=failed, ended=ended)
    if left:
        return {"failures_left": left}
    often = connection.execute(
        select(jobs.c.error_type, func.count().label("times"), func.max(jobs.c.error_message).label("message"))
        .join(members, members.c.job == jobs.c.id)
        .where(ours, standing == "failed")
        .group_by(jobs.c.error_type)
        .order_by(func.count().desc(), jobs.c.error_type)
        .limit(1)
    ).one()
    return {
        "hold_reason": TOO_MANY_FAILURES,
        "hold_message": _message(batch.batch_id, limit, failed=failed, ended=ended, often=often),
        "hold_since": now,
    }


def _message(batch_id: str, limit: FailureLimit, *, failed: int, ended: int, often: AnyRow) -> str:
    example = " ".join((often.message or "").split())
    if len(example) > _ERROR_CHARS:
        example = f"{example[:_ERROR_CHARS]}..."
    return (
        f"{failed} of the {ended} charts that have ended failed (--max-failures {limit}); {often.times} times it was "
        f"{often.error_type}, for example: {example} - mend the cause, then `chartq retry {batch_id}` asks them "
        f"again and goes on, `chartq resume {batch_id}` goes on without them"
    )
