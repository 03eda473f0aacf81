"""Batches that go on hold by themselves: too many of their jobs have failed.

What a batch's counts say is compared with its limit in the transaction that writes a failure. Failures from before the
batch, or before somebody resumed it, are known by their number (`failed_before`, `ended_before`), not by when they
were: workers' clocks differ.
"""

from collections.abc import Mapping

from jobs.core.controls import PAUSED
from jobs.core.failure_limit import FailureLimit
from jobs.ledger import counts
from jobs.ledger.records import Batch, Counts
from jobs.ledger.transaction import Row, Transaction

#: `hold.reason` of such a batch.
TOO_MANY_FAILURES = "too_many_failures"

#: Characters of an error's message that the hold repeats.
_ERROR_CHARS = 200


def check_limits(tx: Transaction, changes: Mapping[int, counts.Change], now: float) -> None:
    """Batches (by row) have changed so: those in which too many have failed now go on hold."""
    failed = [batch for batch, change in changes.items() if change.sums["failed"] > 0]
    if not failed:
        return
    limited = tx.rows("limited_batches", batches=failed)
    counted = counts.read(tx, limited, recent_since=now)
    for batch in limited:
        _check(tx, batch, counted[batch.id], now)


def release(tx: Transaction, batch: Batch) -> None:
    """The batch is not on hold by itself any more."""
    tx.run("release_batch", batch=batch.id)


def resume(tx: Transaction, batch: Batch) -> bool:
    """End the batch's own hold; after too many failures count them from now on. Returns whether it was on hold."""
    row = tx.row("batch_by_row", batch=batch.id)
    if row is None or row.hold_reason is None:
        return False
    release(tx, batch)
    if row.hold_reason == PAUSED:
        tx.run("controls_changed")
    else:
        forget_failures(tx, batch)
    return True


def forget_failures(tx: Transaction, batch: Batch) -> None:
    """What has failed and ended so far is held against the batch no more."""
    counted = counts.read(tx, [batch], recent_since=0)[batch.id]
    tx.run("forget_failures", batch=batch.id, failed=counted.failed, ended=counted.finished + counted.failed)


def limit(tx: Transaction, batch: Batch, max_failures: FailureLimit) -> None:
    """From now on this many failures of the batch are too many."""
    tx.run("limit_failures", batch=batch.id, max_failures=str(max_failures))


def _check(tx: Transaction, batch: Row, counted: Counts, now: float) -> None:
    allowed = FailureLimit.parse(batch.max_failures)
    failed = max(0, counted.failed - batch.failed_before)
    ended = max(failed, counted.finished + counted.failed - batch.ended_before)
    if not failed or not allowed.is_reached(failed=failed, ended=ended):
        return
    often = tx.rows("most_frequent_error", batch=batch.id)[0]
    message = _message(batch.batch_id, allowed, failed=failed, ended=ended, often=often)
    tx.run("hold_batch", batch=batch.id, reason=TOO_MANY_FAILURES, message=message, now=now)


def _message(batch_id: str, limit: FailureLimit, *, failed: int, ended: int, often: Row) -> str:
    example = " ".join((often.message or "").split())
    if len(example) > _ERROR_CHARS:
        example = f"{example[:_ERROR_CHARS]}..."
    return (
        f"{failed} of the {ended} charts that have ended failed (--max-failures {limit}); {often.times} times it was "
        f"{often.error_type}, for example: {example} - mend the cause, then `chartq retry {batch_id}` asks them "
        f"again and goes on, `chartq resume {batch_id}` goes on without them"
    )
