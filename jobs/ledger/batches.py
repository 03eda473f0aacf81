"""Batches in the ledger: opened, sealed, found and listed."""

import json
import random
import time
from collections.abc import Sequence
from typing import Literal

from jobs.core.errors import UnknownIdError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question, canonical_json
from jobs.ledger import questions
from jobs.ledger.columns import path_from_store, path_to_store
from jobs.ledger.records import Batch, Hold
from jobs.ledger.transaction import Row, Transaction

#: Crockford's base 32, lower case: nothing that is mistaken for something else when read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_CHARS = 6

#: Which batches a submit may go on with: samples; also those whose submit died; also those with open rows.
BatchFilter = Literal["samples", "unsealed", "unfinished", "any"]

#: Batches read at a time when all are listed.
PAGE = 500


def open_batch(
    tx: Transaction,
    *,
    question: Question,
    name: str | None,
    fingerprint: str,
    sources: Sequence[str],
    priority: str,
    now: float,
    sampled_of: int | None = None,
    max_failures: FailureLimit | None = None,
    source: str | None = None,
    owner: str | None = None,
) -> Batch:
    """A new batch without members. `fingerprint` says what was asked for, so that it is found again."""
    questions.put(tx, {question.id: question})
    row = None
    while row is None:  # a name that is taken is drawn again
        row = tx.row(
            "insert_batch",
            batch_id=_new_batch_id(now),
            name=name,
            question_id=question.id,
            fingerprint=fingerprint,
            sources=path_to_store(canonical_json(list(sources))),
            priority=priority,
            now=now,
            sampled_of=sampled_of,
            max_failures=str(max_failures) if max_failures else None,
            source=source,
            owner=owner or None,
        )
    tx.run("insert_counts", batch=row.id)
    return _batch(row, question)


def unseal(tx: Transaction, batch: Batch) -> None:
    """More is about to be added: the batch is not completed before it is sealed again."""
    tx.run("unseal_batch", batch=batch.id)


def seal(tx: Transaction, batch: Batch, now: float, *, sampled_of: int | None = None) -> int:
    """Nothing is added any more: from here on the batch can be completed. Returns how many rows it has."""
    total: int = tx.values("seal_batch", batch=batch.id, now=now, sampled_of=sampled_of)[0]
    return total


def find_batch(tx: Transaction, fingerprint: str, *, among: BatchFilter) -> Batch | None:
    """The newest batch of this fingerprint that a submit may go on with; never a canceled one."""
    row = tx.row("find_batch", fingerprint=fingerprint, among=among)
    return None if row is None else _batch(row, questions.get(tx, row.question_id))


def custom_ids(tx: Transaction, batch: Batch) -> set[str]:
    return set(tx.values("custom_ids", batch=batch.id))


def held_batches(tx: Transaction) -> list[Batch]:
    """The batches that were put on hold themselves; some of them may have nothing open."""
    return _batches(tx, tx.rows("held_batches"))


def batches_whose_pause_is_over(tx: Transaction, now: float) -> list[Batch]:
    return _batches(tx, tx.rows("batches_whose_pause_is_over", now=now))


def get_batch(tx: Transaction, batch_id: str) -> Batch:
    """The batch as it is now; raises UnknownIdError."""
    row = tx.row("batch_by_name", batch_id=batch_id)
    if row is None:
        raise UnknownIdError(f"no batch {batch_id!r}; `chartq list` shows all there are")
    return _batch(row, questions.get(tx, row.question_id))


def page(tx: Transaction, before: int, *, owner: str | None = None) -> list[Batch]:
    """The next batches below this row, newest first; of one owner, or all."""
    if owner is not None:
        return _batches(tx, tx.rows("batches_page_of", before=before, owner=owner, page=PAGE))
    return _batches(tx, tx.rows("batches_page", before=before, page=PAGE))


def _batches(tx: Transaction, rows: Sequence[Row]) -> list[Batch]:
    asked = questions.get_all(tx, {row.question_id for row in rows})
    return [_batch(row, asked[row.question_id]) for row in rows]


def _new_batch_id(now: float) -> str:
    day = time.strftime("%y%m%d", time.gmtime(now))
    return f"b{day}-" + "".join(random.SystemRandom().choices(_ALPHABET, k=_RANDOM_CHARS))


def _batch(row: Row, question: Question) -> Batch:
    hold = None
    if row.hold_reason is not None:
        hold = Hold(
            reason=row.hold_reason, message=row.hold_message or "", since=row.hold_since or 0.0, until=row.hold_until
        )
    return Batch(
        id=row.id,
        batch_id=row.batch_id,
        name=row.name,
        question=question,
        fingerprint=row.fingerprint,
        priority=row.priority,
        total=row.total,
        created_at=row.created_at,
        sealed_at=row.sealed_at,
        canceled_at=row.canceled_at,
        hold=hold,
        sources=tuple(json.loads(path_from_store(row.sources))),
        sampled_of=row.sampled_of,
        max_failures=FailureLimit.parse(row.max_failures) if row.max_failures else None,
        source=row.source_batch,
        owner=row.owner,
    )
