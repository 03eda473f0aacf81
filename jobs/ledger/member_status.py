"""Where one member of a batch stands: its job's status, unless the member has an ending of its own.

`members.ended` says so:
- `canceled`: the batch gave up its claim; what becomes of the job is others' business;
- `finished`, `failed`: how the job had ended for this batch when another batch had it queued again (by a
  refresh, or a submit of what had failed). So a batch's ended rows stay ended whatever other batches do.
  A failed one becomes finished with the job's answer, if there is one.

In SQL it is the word {member_status}, see statements.py.
"""

from collections.abc import Sequence

from jobs.ledger.transaction import Transaction


def member_status_of(status: str, ended: str | None) -> str:
    """Where a member stands whose job has this status."""
    if ended is None or (ended == "failed" and status == "finished"):
        return status
    return ended


def queue_again(
    tx: Transaction,
    *,
    finished: Sequence[int],
    failed: Sequence[int],
    canceled: Sequence[int],
    for_batch: int,
    now: float,
) -> None:
    """Ended jobs (row ids, by how they ended) start over for one batch; others keep the ending they have."""
    if finished:
        tx.run("keep_answer_for_others", jobs=list(finished), batch=for_batch)
    if failed:
        tx.run("keep_failure_for_others", jobs=list(failed), batch=for_batch)
    # The last answer's figures and the last error stay until the next outcome: others' rows show them.
    tx.run("queue_again", jobs=[*finished, *failed, *canceled], batch=for_batch, now=now)
