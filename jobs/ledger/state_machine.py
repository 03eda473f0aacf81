"""Which report of a worker changes a job, and how: pure functions of the row and the report.

queued, scheduled ──start──▶ started ──Returned, WorkerLost──▶ queued, scheduled
queued, scheduled, started ──Finished──▶ finished      (a late answer is an answer)
                   started ──Failed, WorkerLost──▶ failed
"""

import json
from typing import Any, NamedTuple

from jobs.core.job import OPEN_STATES
from jobs.ledger.reports import Change, Failed, Finished, Returned, WorkerLost

#: What both databases store in an INTEGER column. A server's nonsense beyond it is not kept.
_MAX_INT = 2**31 - 1


class State(NamedTuple):
    """The part of a job's row that reports change; the fields are the columns."""

    id: int
    status: str
    execution_id: str | None
    attempts: int
    throttled: int
    losses: int
    error_type: str | None
    error_message: str | None
    status_code: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float | None
    request_id: str | None
    provider: str | None
    rehearsal: bool
    finished_at: float | None
    finish_reason: str | None = None
    #: JSON: the picture that the model was shown.
    sent: str | None = None


def after(state: State, change: Change, now: float) -> State | None:
    """The row after the report; None if the report no longer counts."""
    match change:
        case Finished():
            return _finished(state, change, now) if state.status in OPEN_STATES else None
        case _ if state.status != "started" or state.execution_id != change.execution_id:
            return None
        case Failed():
            spent = state.attempts + change.attempts_spent
            error = (change.error_type, change.message, change.status_code)
            return _failed(state._replace(attempts=spent), error, now)
        case Returned():
            return _returned(state, change)
        case WorkerLost():
            return _lost(state, change, now)


def _finished(state: State, change: Finished, now: float) -> State:
    answer = change.answer
    return state._replace(
        status="finished",
        execution_id=None,
        attempts=state.attempts + change.attempts_spent,
        error_type=None,
        error_message=None,
        status_code=None,
        prompt_tokens=_storable(answer.prompt_tokens),
        completion_tokens=_storable(answer.completion_tokens),
        latency_s=answer.latency_s,
        request_id=answer.request_id,
        provider=answer.provider,
        rehearsal=answer.rehearsal,
        finished_at=now,
        finish_reason=answer.finish_reason,
        sent=json.dumps(answer.sent) if answer.sent is not None else None,
    )


def _failed(state: State, error: tuple[str, str, int | None], now: float) -> State:
    error_type, message, status_code = error
    return state._replace(
        status="failed",
        execution_id=None,
        error_type=error_type,
        error_message=message,
        status_code=_storable(status_code),
        finished_at=now,
    )


def _returned(state: State, change: Returned) -> State:
    back = state._replace(
        status=change.status,
        execution_id=None,
        attempts=state.attempts + change.attempts_spent,
        throttled=state.throttled + change.throttled,
        losses=state.losses + change.lost,
    )
    if change.error is None:
        return back
    error = change.error
    return back._replace(error_type=error.type, error_message=error.message, status_code=_storable(error.status_code))


def _lost(state: State, change: WorkerLost, now: float) -> State:
    losses = state.losses + 1
    if losses <= change.max_losses:
        return state._replace(status="queued", execution_id=None, losses=losses)
    message = (
        f"its worker died {losses} times while running this job: look for the cause in the worker's log "
        "and at the image, then `chartq retry`"
    )
    return _failed(state._replace(losses=losses), ("WorkerLost", message, None), now)


def _storable(number: Any) -> int | None:
    return number if isinstance(number, int) and 0 <= number <= _MAX_INT else None
