"""Where one member of a batch stands: its job's status, unless the member has an ending of its own.

`members.ended` says so:
- `canceled`: the batch gave up its claim; what becomes of the job is others' business;
- `finished`, `failed`: how the job had ended for this batch when another batch had it queued again (by a
  refresh, or a submit of what had failed). So a batch's ended rows stay ended whatever other batches do.
  A failed one becomes finished with the job's answer, if there is one.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, case, or_, select, update

from jobs.ledger.schema import batches, jobs, members

#: Members that wait for their job or took its ending: the ones that may want it to go on.
has_claim = members.c.ended.is_(None)

# Under a name of its own: the statements around it may have `batches` too.
_held = batches.alias("held")
is_held = members.c.batch.in_(select(_held.c.id).where(_held.c.hold_reason.is_not(None)))

#: Claims for which a job may be called now: not those of a batch that was put on hold itself.
is_wanted = and_(has_claim, ~is_held)

#: The status of a member; for statements that join `members` and `jobs`.
standing = case(
    (or_(has_claim, and_(members.c.ended == "failed", jobs.c.status == "finished")), jobs.c.status),
    else_=members.c.ended,
)


def standing_of(status: str, ended: str | None) -> str:
    """The same as `standing`, for who counts rows by the two first: that is a third cheaper."""
    if ended is None or (ended == "failed" and status == "finished"):
        return status
    return ended


def queue_again(
    connection: Connection,
    *,
    finished: Sequence[int],
    failed: Sequence[int],
    canceled: Sequence[int],
    for_batch: int,
    now: float,
) -> None:
    """Ended jobs (row ids, by how they ended) start over for one batch; others keep the ending they have."""
    others = members.c.batch != for_batch
    keep_answer = and_(members.c.job.in_(finished), others, or_(has_claim, members.c.ended == "failed"))
    keep_failure = and_(members.c.job.in_(failed), others, has_claim)
    if finished:
        connection.execute(update(members).where(keep_answer).values(ended="finished"))
    if failed:
        connection.execute(update(members).where(keep_failure).values(ended="failed"))
    # The last answer's figures and the last error stay until the next outcome: others' rows show them.
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_([*finished, *failed, *canceled]))
        .values(
            status="queued",
            execution_id=None,
            attempts=0,
            throttled=0,
            losses=0,
            queued_at=now,
            started_at=None,
        )
    )
