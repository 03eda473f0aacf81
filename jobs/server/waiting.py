"""Ask one question and wait for its answer, as long as waiting makes sense."""

import time
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from jobs.batches.documents import lane_hold, lane_opens_at
from jobs.batches.shapes import HoldDocument
from jobs.core.job import ENDED_STATES
from jobs.core.time_text import iso
from jobs.ledger import JobRow
from jobs.server.access import Access
from jobs.server.errors import ApiError
from jobs.server.watcher import Ended, Held, NotYet, Outcome
from jobs.submit.single import SingleQuestion

#: Seconds beyond all attempts of a call that its answer is waited for: other jobs may be before it.
_QUEUE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Pending:
    """No answer yet: it is asked, and the job's document will have it."""

    job_id: str
    resume_at: str | None
    #: Seconds after which it is worth asking again.
    retry_after_s: int


async def answer_to(access: Access, asked: SingleQuestion, *, wait: bool = True) -> JobRow | Pending:
    """The finished job, or that it is pending. Raises ApiError: on hold, no answer, too many wait."""
    settings = access.session.settings
    outcome = await run_in_threadpool(_begin, access, asked)
    if isinstance(outcome, NotYet) and outcome.opens_at is None and wait:
        attempt_s = settings.vision_timeout_s if asked.charts else settings.reasoning_timeout_s
        outcome = await access.backend.watcher.job(
            asked.job_id,
            lane=asked.question.lane,
            patience_s=attempt_s,
            timeout_s=attempt_s * (settings.max_retries + 1) + _QUEUE_S,
        )
    match outcome:
        case Ended():
            return _answered(outcome.row)
        case Held():
            raise on_hold(outcome.hold)
        case NotYet():
            in_s = 1.0 if outcome.opens_at is None else max(1.0, outcome.opens_at - time.time())
            return Pending(job_id=asked.job_id, resume_at=iso(outcome.opens_at), retry_after_s=round(in_s))


def on_hold(hold: HoldDocument) -> ApiError:
    """For who would wait for a lane that waits for a person: openai's client need not try again by itself."""
    message = f"on hold ({hold['reason']}): {hold['message']}"
    return ApiError(503, message, code=str(hold["reason"]), headers={"x-should-retry": "false"})


def _begin(access: Access, asked: SingleQuestion) -> Outcome:
    """Ask, unless the answer is there, or nobody is called. Raises StoreError, QueueError, RedisError."""
    session, backend = access.session, access.backend
    lane = asked.question.lane
    answered = session.ledger.answered([asked.job_id], count_rehearsals=asked.count_rehearsals)
    gates = [] if answered else session.gates.of_lane(lane)
    if hold := lane_hold(gates):
        return Held(hold=hold)
    backend.questions.ask(session.ledger, session.queues, asked, asker=access.owner)
    if answered:
        row = session.ledger.job(asked.job_id)
        if row.shown.status in ENDED_STATES:
            return Ended(row=row)
    backend.services.work_arrived()
    opens_at = lane_opens_at(gates)
    attempt_s = session.settings.vision_timeout_s
    too_late = opens_at is not None and opens_at - gates[0].now_s > attempt_s
    return NotYet(opens_at=opens_at if too_late else None)


def _answered(row: JobRow) -> JobRow:
    """The row if it has an answer. Raises ApiError."""
    status, error = row.shown.status, row.shown.error
    if status == "finished":
        return row
    if status == "canceled" or error is None:
        raise ApiError(409, "the job was canceled before it was asked", code="canceled")
    if error.type == "ImageError":
        raise ApiError(400, error.message, code="invalid_image")
    code = None if error.status_code is None else str(error.status_code)
    raise ApiError(502, error.message, type_=error.type, code=code)
