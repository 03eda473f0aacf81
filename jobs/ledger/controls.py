"""Pauses and limits in the ledger: the truth, of which Redis has a copy that workers go by."""

from jobs.core.controls import EVERYTHING, Controls, Limit, Pause, subject_of
from jobs.core.rates import RateLimits
from jobs.ledger import batches, failure_holds
from jobs.ledger.records import Batch
from jobs.ledger.transaction import Row, Transaction


def read(tx: Transaction, label: str = "") -> Controls:
    """All of them, also pauses that are over by now. `label`: the store's place, for people."""
    mark = tx.row("controls_mark")
    pauses = {row.subject: _pause(row) for row in tx.rows("pauses")}
    pauses |= {subject_of("batch", row.batch_id): _pause(row) for row in tx.rows("paused_batches")}
    limits = {
        row.model: Limit(
            by=row.set_by,
            since=row.since,
            windows=RateLimits.parse(row.rate or "").default,
            concurrency=row.concurrency,
        )
        for row in tx.rows("limits")
    }
    assert mark is not None  # schema.prepare wrote it
    return Controls(store=mark.store_id, version=mark.controls, label=label, pauses=pauses, limits=limits)


def pause(tx: Transaction, subject: str, *, by: str, now: float, until: float | None) -> None:
    """Everything or a model."""
    tx.run("put_pause", subject=subject, by=by, now=now, until=until)
    tx.run("controls_changed")


def pause_batch(tx: Transaction, batch: Batch, *, by: str, now: float, until: float | None) -> None:
    """The batch waits, whatever others do; a hold of another kind gives way to it."""
    tx.run("pause_batch", batch=batch.id, by=by, now=now, until=until)
    tx.run("controls_changed")


def end_pauses(tx: Transaction, subject: str) -> list[Batch]:
    """End the pause of a model; or all pauses, also those of batches, which are returned."""
    ended: list[Batch] = []
    if subject == EVERYTHING:
        ended = [batch for batch in batches.held_batches(tx) if batch.hold and batch.hold.is_pause]
    for batch in ended:
        failure_holds.release(tx, batch)
    if tx.run("end_pauses", subject=subject) or ended:
        tx.run("controls_changed")
    return ended


def end_pauses_that_are_over(tx: Transaction, now: float) -> list[Batch]:
    """By themselves, at their time. Returns the batches that go on."""
    ended = batches.batches_whose_pause_is_over(tx, now)
    for batch in ended:
        failure_holds.release(tx, batch)
    if tx.run("end_pauses_that_are_over", now=now) or ended:
        tx.run("controls_changed")
    return ended


def limit(
    tx: Transaction, model: str, *, rate: RateLimits | None, concurrency: int | None, by: str, now: float
) -> None:
    """Set a model's limit; without budget and concurrency it has none any more."""
    if rate is None and concurrency is None:
        tx.run("drop_limit", model=model)
    else:
        tx.run("put_limit", model=model, rate=str(rate or "") or None, concurrency=concurrency, by=by, now=now)
    tx.run("controls_changed")


def _pause(row: Row) -> Pause:
    return Pause(by=row.set_by, since=row.since, until=row.until)
