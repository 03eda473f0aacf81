"""A batch's claims to jobs: made anew (retry), given up (cancel), and who has one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.core.pages import pages
from jobs.ledger.counts import recounted
from jobs.ledger.failure_holds import forget_failures, release
from jobs.ledger.filters import ALL_FAILURES, ALL_ROWS, FailureFilter, RowFilter
from jobs.ledger.member_status import queue_again
from jobs.ledger.records import Batch
from jobs.ledger.transaction import Row, Transaction

#: Jobs that are changed at a time.
CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Canceled:
    #: Rows of the batch that became canceled.
    count: int
    #: (job id, batch id of another batch that still wants it, and is not on hold).
    kept: list[tuple[str, str]]


def retry(
    tx: Transaction, batch: Batch, now: float, *, only: FailureFilter = ALL_FAILURES, shown: RowFilter = ALL_ROWS
) -> list[str]:
    """Ask again what failed for this batch (of that kind, among these rows), with fresh attempts.

    Returns the job ids that belong on the queue. If there had been too many failures, the batch goes on.
    """
    rows = _each_once(tx.rows("jobs_failed_for_batch", batch=batch.id, **shown.values()))
    failed = [row for row in rows if only.takes(row.error_type, row.error_message)]
    for chunk in pages(failed, CHUNK):
        ids = [row.id for row in chunk]
        with recounted(tx, ids):
            tx.run("claim_again", batch=batch.id, jobs=ids)
            ended = {state: [row.id for row in chunk if row.status == state] for state in ("failed", "canceled")}
            queue_again(tx, finished=[], **ended, for_batch=batch.id, now=now)
    if failed:
        tx.run("uncancel_batch", batch=batch.id)
    release(tx, batch)
    forget_failures(tx, batch)
    return [row.job_id for row in failed]


def cancel(tx: Transaction, batch: Batch, now: float, *, shown: RowFilter = ALL_ROWS) -> Canceled:
    """Take the batch's claim from all that has not started (among these rows); jobs that nobody else wants end here.

    Only when all are meant is the batch itself canceled: nothing is added to it any more.
    """
    count = 0
    kept: list[tuple[str, str]] = []
    waiting = _each_once(tx.rows("jobs_waiting_for_batch", batch=batch.id, **shown.values()))
    for chunk in pages(waiting, CHUNK):
        names = {row.id: row.job_id for row in chunk}
        with recounted(tx, names):
            count += tx.run("give_up_claims", batch=batch.id, jobs=list(names))
            wanted = _claimants(tx, names)
            _end(tx, [job for job in names if job not in wanted], now)
        kept += [(names[job], batch_id) for job in names if (batch_id := wanted.get(job)) is not None]
    if shown == ALL_ROWS:
        tx.run("cancel_batch", batch=batch.id, now=now)
        release(tx, batch)  # nothing waits for the user any more
    return Canceled(count=count, kept=kept)


def drop_unclaimed(tx: Transaction, job_rows: Iterable[int], now: float) -> None:
    """End those of the jobs that wait although no batch wants them any more. Within a `recounted` that knows them."""
    waiting = tx.values("waiting_jobs", jobs=sorted(job_rows))
    wanted = _claimants(tx, waiting)
    _end(tx, [job for job in waiting if job not in wanted], now)


def _each_once(rows: Sequence[Row]) -> list[Row]:
    """A picture may be in the batch twice."""
    return list({row.id: row for row in rows}.values())


def _claimants(tx: Transaction, job_rows: Iterable[int]) -> dict[int, str | None]:
    """For each job (row id) that some batch claims, the newest such batch's id; None if all of them are on hold."""
    return {row.job: row.batch_id for row in tx.rows("claimants", jobs=list(job_rows))}


def _end(tx: Transaction, job_rows: Sequence[int], now: float) -> None:
    """Jobs that nobody wants: canceled, or finished again with the answer that a refresh meant to replace."""
    if job_rows:
        tx.run("end_unwanted", jobs=list(job_rows), now=now)
