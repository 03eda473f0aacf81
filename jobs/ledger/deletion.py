"""Batches that go: hidden at once, then removed piece by piece, with answers and questions that nobody wants any more.

Each piece is a transaction of its own, short enough that no worker waits for it. What is interrupted is finished by the
next deletion, or by a worker's maintenance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.core.errors import InputError
from jobs.core.places import IN_LEDGER, split_pictures
from jobs.ledger import files, questions
from jobs.ledger.columns import path_from_store
from jobs.ledger.records import Batch
from jobs.ledger.transaction import Transaction

#: Members and pictures removed in one transaction: a few milliseconds.
_PAGE, PICTURES = 100, 50


@dataclass(frozen=True, kw_only=True)
class Size:
    """What goes with a batch: its rows, and the bytes of answers that nobody else wants."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(rows=self.rows + other.rows, bytes=self.bytes + other.bytes)


def size(tx: Transaction, batch: Batch) -> Size:
    """What deleting the batch would remove."""
    row = tx.row("size_of_batch", batch=batch.id)
    return Size() if row is None else Size(rows=row.members, bytes=int(row.bytes))


def hide(tx: Transaction, batch: Batch, now: float) -> None:
    """From now on nobody sees the batch. Raises InputError if it is in progress or another asks about its answers."""
    tx.rows("lock_batch", batch=batch.id)  # who would go on with it, or ask about its answers, waits, or is seen here
    if why := obstacle(tx, batch):
        raise InputError(why)
    tx.run("hide_batch", batch=batch.id, now=now)
    for name in ("drop_counts", "drop_pace", "drop_webhook", "drop_openai_batch"):
        tx.run(name, batch=batch.id)
    files.drop_outputs(tx, batch.batch_id)
    questions.drop_unasked(tx, [batch.question.id])  # if it has no rows


def obstacle(tx: Transaction, batch: Batch) -> str:
    """Why the batch can't be deleted now; "" if it can."""
    row = tx.row("batch_to_delete", batch=batch.id)
    if row is None:
        return f"no batch {batch.batch_id!r}"
    if row.unfinished or (row.sealed_at is None and row.canceled_at is None):
        return f"{batch.batch_id} is in progress: chartq cancel {batch.batch_id} first"
    if row.stage is not None:
        return f"{row.stage} asks about the answers of {batch.batch_id}: chartq delete {row.stage} first"
    return ""


def is_something_left(tx: Transaction) -> bool:
    """Whether hidden batches have left anything."""
    return bool(tx.values("hidden_left"))


def remove_a_page(tx: Transaction) -> tuple[bool, set[str]]:
    """Remove some of what hidden batches had. Returns whether there is more, and pictures that may be nobody's now."""
    after = 0
    while (hidden := tx.row("hidden_batches", after=after)) is not None:
        if jobs := tx.values("jobs_of_members", batch=hidden.id, page=_PAGE):
            return True, _remove(tx, hidden.id, jobs)
        after = hidden.id
    # The newest row stays, hidden: its number must not be given to another batch.
    tx.run("forget_hidden_batches")
    return False, set()


def pictures_wanted(tx: Transaction) -> set[str]:
    """The pictures in the ledger (by hash) that some row shows."""
    return _pictures(tx.values("places_in_ledger"))


def drop_pictures(tx: Transaction, hashes: Sequence[str]) -> None:
    tx.run("drop_pictures", hashes=list(hashes))


def _remove(tx: Transaction, batch: int, jobs: list[int]) -> set[str]:
    tx.values("lock_jobs", jobs=jobs)  # a submit that is taking one of them up is through before we look
    tx.run("drop_members", batch=batch, jobs=jobs)
    unwanted = tx.rows("unwanted_jobs", jobs=jobs)
    ids = [row.id for row in unwanted]
    tx.run("drop_answers", jobs=ids)
    tx.run("drop_jobs", jobs=ids)
    questions.drop_unasked(tx, {row.question_id for row in unwanted})
    return _pictures(row.image for row in unwanted)


def _pictures(places: Iterable[str]) -> set[str]:
    shown = (picture for place in places for picture in split_pictures(path_from_store(place)))
    return {picture.removeprefix(IN_LEDGER) for picture in shown if picture.startswith(IN_LEDGER)}
