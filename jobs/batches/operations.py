"""What can be done with a batch or a lane while it runs, a function each: for the commands, HTTP and the page."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from jobs.batches.documents import finished_at
from jobs.batches.reconcile import Requeued, put_back_all
from jobs.batches.session import PAGE, Session
from jobs.core.controls import EVERYTHING, subject_of
from jobs.core.job import model_of
from jobs.core.pages import pages
from jobs.core.rates import RateLimits
from jobs.ledger import ALL_FAILURES, ALL_ROWS, Batch, FailureFilter, RowFilter, Size


def retry(session: Session, batch: Batch, only: FailureFilter = ALL_FAILURES, shown: RowFilter = ALL_ROWS) -> int:
    """Queue again what failed (of that kind, among these rows), with fresh attempts. Returns how many."""
    queues = session.queues
    again = session.ledger.retry(batch, session.now(), only=only, shown=shown)
    _enqueue(session, batch, again)
    if batch.hold is not None:  # not any more: what waits beside them has to go back as well
        put_back_all(session.ledger, queues, batch=batch)
    return len(again)


def cancel(session: Session, batch: Batch, shown: RowFilter = ALL_ROWS) -> int:
    """Take the batch's claim from all that has not started (among these rows). Returns how many were canceled."""
    queues = session.queues
    canceled = session.ledger.cancel(batch, session.now(), shown=shown)
    queues.drop(lane=batch.question.lane, batch_id=batch.batch_id)
    kept: dict[str, list[str]] = defaultdict(list)
    for job_id, other in canceled.kept:
        kept[other].append(job_id)
    for other, job_ids in kept.items():
        _enqueue(session, session.ledger.batch(other), job_ids)
    if shown != ALL_ROWS:  # the others wait on
        put_back_all(session.ledger, queues, batch=batch)
    return canceled.count


def resume(session: Session, lanes: set[str] | None, batch: Batch | None = None) -> tuple[int, Requeued]:
    """Open what is on hold in these lanes (None: in all), and the batch itself; put back what Redis has lost.

    Pauses end too: the batch's if one is given, else those of the lanes.
    """
    queues = session.queues
    if batch is not None:
        session.ledger.resume(batch)
    back = _end_pauses(session, lanes if batch is None else set())
    # An account's hold may keep a lane waiting that was never called for: it has no gate of its own yet.
    every_gate = session.gates.all(extra_lanes=queues.lanes(), former=True)
    gates = [gate for gate in every_gate if gate.held and (lanes is None or gate.lane in lanes)]
    opened = session.gates.resume(gates)
    found = put_back_all(session.ledger, queues, batch=batch)
    return opened, replace(found, put_back=found.put_back + back)


def pause(
    session: Session, by: str, *, model: str | None = None, batch: Batch | None = None, for_s: float | None = None
) -> None:
    """No call starts any more, for a model, a batch or (neither given) for anything; what is in flight ends.

    `by` is who says so. It ends by itself after `for_s` seconds, or with `resume`. A batch that has ended stays so.
    """
    queues, now = session.queues, session.now()
    until = None if for_s is None else now + for_s
    if batch is None:
        session.ledger.pause(subject_of("model", model) if model else EVERYTHING, by=by, now=now, until=until)
        session.bring_controls()
        return
    if not session.ledger.counts(batch, recent_since=0).open:
        return
    session.ledger.pause_batch(batch, by=by, now=now, until=until)
    session.bring_controls()
    # What others want of it goes on.
    queues.drop(lane=batch.question.lane, batch_id=batch.batch_id)
    put_back_all(session.ledger, queues, batch=batch)


def limit(session: Session, by: str, model: str, *, rate: RateLimits | None, concurrency: int | None) -> None:
    """Set a model's budget and most calls in flight, beside the workers' own; None and None: not any more."""
    session.bring_controls()  # first, as it may be refused
    session.ledger.limit_model(model, rate=rate, concurrency=concurrency, by=by, now=session.now())
    session.bring_controls()


def delete(session: Session, batch: Batch) -> Size:
    """Remove a batch that has ended, and the answers that no other wants. Raises InputError if it can't go."""
    what = session.ledger.size_of(batch)
    session.ledger.hide(batch, time.time())
    session.ledger.remove_hidden()
    return what


def old(session: Session, older_than_s: float) -> Iterator[Batch]:
    """Batches that ended longer ago, the newest first: what asks about another's answers comes before that one."""
    now = session.now_if_possible() if session.settings.redis_url else session.clock.now()
    for page in pages(session.ledger.batches(), PAGE):
        counts = session.ledger.counts_of(page, recent_since=now)
        for batch in page:
            ended_at = None if counts[batch.id].open else finished_at(batch, counts[batch.id])
            if ended_at is not None and ended_at < now - older_than_s:
                yield batch


def _end_pauses(session: Session, lanes: set[str] | None) -> int:
    """Of these lanes' models; None: all there are, of batches too, whose jobs go back on their queues: how many."""
    back = 0
    models = sorted(set(map(model_of, lanes or ())))
    for subject in [EVERYTHING] if lanes is None else [subject_of("model", model) for model in models]:
        for batch in session.ledger.end_pauses(subject):
            back += put_back_all(session.ledger, session.queues, batch=batch).put_back
    session.bring_controls()
    return back


def _enqueue(session: Session, batch: Batch, job_ids: list[str]) -> None:
    session.queues.enqueue(
        job_ids,
        lane=batch.question.lane,
        batch_id=batch.batch_id,
        priority=batch.priority,  # type: ignore[arg-type]  # the ledger only ever gets ours
    )
