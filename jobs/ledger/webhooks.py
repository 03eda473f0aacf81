"""Who is to be told of a batch's end, when, and with which attempt."""

import os
from dataclasses import dataclass
from typing import Literal

from jobs.ledger.transaction import Row, Transaction

Event = Literal["batch.completed", "batch.failed", "batch.cancelled"]

#: Seconds from an attempt to the next; after the last one it is given up.
AGAIN_AFTER_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)

#: Seconds for which whoever sends one has it to itself.
CLAIM_S = 60.0

#: Ends that are taken up at a time.
_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class DueWebhook:
    """Something to be told now."""

    batch: int
    batch_id: str
    webhook_id: str
    event: str
    ended_at: float
    #: Attempts before this one.
    attempts: int
    due_at: float


def has_work(tx: Transaction, now: float) -> bool:
    """Whether the rest is worth a transaction that writes."""
    return bool(tx.tuples("has_webhook_work", now=now))


def note_ends(tx: Transaction, now: float) -> None:
    """Take up the batches that have ended since the last look; at the very first only those from then on."""
    if not tx.tuples("are_webhooks_marked"):
        tx.run("pass_over_ended")
        tx.run("mark_webhooks")
        return
    tx.run("forget_told_of_open")  # retried: its next end is told too
    tx.run_many(
        "note_end",
        [
            {"batch": row.id, "webhook_id": f"msg_{os.urandom(12).hex()}", "event": _event(row), "now": now}
            for row in tx.rows("untold_ends", page=_PAGE)
        ],
    )


def claim_due(tx: Transaction, now: float) -> DueWebhook | None:
    """What is to be told now, if anything; it is the caller's for CLAIM_S."""
    row = tx.row("due_webhook", now=now)
    if row is None or not tx.run("claim_webhook", batch=row.batch, seen=row.due_at, until=now + CLAIM_S):
        return None
    return DueWebhook(**row._asdict())


def heard(tx: Transaction, due: DueWebhook) -> None:
    """It was answered with 2xx."""
    tx.run("note_attempt", batch=due.batch, attempts=due.attempts + 1, due_at=None)


def not_heard(tx: Transaction, due: DueWebhook, now: float) -> bool:
    """It was not. Returns whether it will be told again."""
    due_at = now + AGAIN_AFTER_S[due.attempts] if due.attempts < len(AGAIN_AFTER_S) else None
    tx.run("note_attempt", batch=due.batch, attempts=due.attempts + 1, due_at=due_at)
    return due_at is not None


def _event(row: Row) -> Event:
    if row.openai_status == "failed":
        return "batch.failed"
    if row.canceled_at is not None and row.canceled:
        return "batch.cancelled"
    return "batch.failed" if row.failed and not row.finished else "batch.completed"
