"""What OpenAI's API knows of a batch beyond the batch itself: its file, its validation, its cancelling."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.core.errors import UnknownIdError
from jobs.core.job import Question
from jobs.ledger import batches
from jobs.ledger.transaction import BEYOND, Row, Transaction

#: Seconds for which whoever validates a batch has it to itself, unless it says that it goes on.
LEASE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class NewOpenAIBatch:
    """What somebody asks for."""

    owner: str
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True)
class OpenAIBatch(NewOpenAIBatch):
    """The record beside a batch of the ledger."""

    #: The batch's row, and its id.
    batch: int
    batch_id: str
    status: Literal["validating", "failed", "submitted"]
    errors: Sequence[Mapping[str, Any]]
    created_at: float
    submitted_at: float | None
    failed_at: float | None
    cancelling_at: float | None
    lease_until: float


def create(tx: Transaction, new: NewOpenAIBatch, *, question: Question, name: str | None, now: float) -> str:
    """A batch without rows, and its record, in one go; the batch's id. Somebody has to validate it."""
    batch = batches.open_batch(
        tx,
        question=question,
        name=name,
        fingerprint=f"file {os.urandom(8).hex()}",
        sources=[new.input_file_id],
        priority="normal",
        now=now,
        owner=new.owner,
    )
    metadata = None if new.metadata is None else json.dumps(new.metadata)
    tx.run("insert_openai_batch", batch=batch.id, now=now, **{**vars(new), "metadata": metadata})
    return batch.batch_id


def get(tx: Transaction, batch_id: str) -> OpenAIBatch:
    """Raises UnknownIdError."""
    row = tx.row("openai_batch", batch_id=batch_id)
    if row is None:
        raise UnknownIdError(f"no batch {batch_id!r}")
    return _record(row)


def page(tx: Transaction, *, owner: str, before: int | None, limit: int) -> Sequence[OpenAIBatch]:
    """The next ones before this row, the newest first."""
    rows = tx.rows("openai_batches_page", owner=owner, before=BEYOND if before is None else before, page=limit)
    return list(map(_record, rows))


def take(tx: Transaction, now: float) -> OpenAIBatch | None:
    """One that waits for its validation, and is the caller's for LEASE_S.

    Not longer: a lease that ends later was taken by a clock that has been set back since.
    """
    row = tx.row("waiting_openai_batches", now=now, latest=now + 2 * LEASE_S)
    if row is None or not tx.run("lease_openai_batch", batch=row.batch, seen=row.lease_until, until=now + LEASE_S):
        return None
    return _record(row)


def go_on(tx: Transaction, record: OpenAIBatch, now: float) -> None:
    """It is still being validated."""
    tx.run("renew_openai_lease", batch=record.batch, until=now + LEASE_S)


def submitted(tx: Transaction, record: OpenAIBatch, now: float) -> None:
    """It was found good, and all its rows are in the ledger."""
    tx.run("openai_submitted", batch=record.batch, now=now)


def failed(tx: Transaction, record: OpenAIBatch, errors: Sequence[Mapping[str, Any]], now: float) -> None:
    """It was found bad: nothing of it is ever asked."""
    if tx.run("openai_failed", batch=record.batch, errors=json.dumps(errors), now=now):
        tx.run("cancel_batch", batch=record.batch, now=now)


def cancelling(tx: Transaction, record: OpenAIBatch, now: float) -> None:
    tx.run("openai_cancelling", batch=record.batch, now=now)


def _record(row: Row) -> OpenAIBatch:
    read = {"metadata": json.loads(row.metadata or "null"), "errors": json.loads(row.errors or "[]")}
    return OpenAIBatch(**{**row._asdict(), **read})
