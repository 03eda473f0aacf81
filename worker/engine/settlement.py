"""From what came of an execution to what the ledger writes and what Redis hears. Pure: the table of it all.

| outcome              | ledger                          | gate        | job goes          |
|----------------------|---------------------------------|-------------|-------------------|
| Done                 | finished, an attempt            | ok          | finished          |
| Refused, called      | failed, an attempt              | ok          | failed            |
| Refused, not called  | failed                          | unused      | failed            |
| Transient            | scheduled, an attempt           | transient   | delayed           |
| .. a bad answer      | as above                        | ok          | as above          |
| Transient, last      | failed, an attempt              | transient   | failed            |
| Transient, suspect   | as above                        | suspect     | as above          |
| .. out of memory     | scheduled                       | unused      | delayed           |
| either, in an outage | queued, nothing spent           | (heard)     | back              |
| Throttled            | queued, a refusal               | throttled   | front             |
| Unreachable          | queued                          | unreachable | front             |
| NotBegun             | queued                          | unused      | front             |
| Hold                 | queued                          | hold        | front             |
"""

import random
from dataclasses import dataclass, replace

from jobs.core.error_kind import error_kind
from jobs.core.errors import OutOfMemoryError
from jobs.ledger import AnswerRow, Change, Failed, Finished, JobError, Returned
from worker.engine.exchange import Lease, Move, Settlement, Verdict
from worker.engine.execute import ExecutionResult, StoppedError
from worker.engine.policy import Done, Hold, Refused, Throttled, Transient, Unreachable
from worker.hf.errors import HFAPIError, HFBadAnswerError, HFErrorReplyError, HFModelLoadingError, HFRateLimitError


@dataclass(frozen=True, kw_only=True)
class FinishedExecution:
    """An execution that has ended: not yet in the ledger, not yet told to Redis."""

    lease: Lease
    ended: ExecutionResult
    #: For logs: the queue's name doesn't tell it of a job that runs alone.
    batch_id: str | None = None
    #: The gate found an outage after this failure: the job goes back as if it had not been called.
    outage: bool = False
    #: The gate has heard already (transient failures are heard before they are written).
    heard: bool = False


def verdict_first(ending: FinishedExecution) -> Settlement | None:
    """A transient failure is told to the gate before anything is written: only it knows an outage."""
    error = ending.ended.error
    if not isinstance(ending.ended.outcome, Transient) or _verdict(ending) != "transient":
        return None
    hint_s = error.hint_s if isinstance(error, HFAPIError) else None
    return Settlement(lease=ending.lease, verdict="transient", hint_s=hint_s, jitter=random.random())


def change(ending: FinishedExecution) -> Change:
    """What the ledger writes."""
    lease, ended = ending.lease, ending.ended
    outcome, spent = ended.outcome, int(ended.called)
    if isinstance(outcome, Done):
        return Finished(job_id=lease.job, execution_id=lease.execution, answer=_answer_row(ended))
    if ending.outage:
        return returned(lease)
    if _move(ending) == "failed":
        error = described(ended.error)
        return Failed(
            job_id=lease.job,
            execution_id=lease.execution,
            error_type=error.type,
            message=error.message,
            status_code=error.status_code,
            attempts_spent=spent,
        )
    if isinstance(outcome, Transient):
        return replace(returned(lease), status="scheduled", attempts_spent=spent, error=described(ended.error))
    return replace(returned(lease), throttled=int(isinstance(outcome, Throttled)))


def settlement(ending: FinishedExecution) -> Settlement:
    """What Redis hears once the ledger has it."""
    lease, ended = ending.lease, ending.ended
    outcome = ended.outcome
    hold = outcome if isinstance(outcome, Hold) else None
    return Settlement(
        lease=lease,
        verdict=None if ending.heard else _verdict(ending),
        to=_move(ending),
        hint_s=outcome.hint_s if isinstance(outcome, Throttled) else None,
        why=_why(ended),
        scope=hold.scope if hold else None,
        reason=hold.reason if hold else None,
        message=hold.message if hold else None,
        delay_s=outcome.wait_s if isinstance(outcome, Transient) else None,
        error=described(ended.error).message if isinstance(outcome, Refused | Transient) else None,
        kind=_kind(ending),
        took_s=ended.latency_s,
        jitter=random.random(),
    )


def returned(lease: Lease) -> Returned:
    """The ledger's side of giving a job back: nothing spent."""
    return Returned(job_id=lease.job, execution_id=lease.execution, status="queued")


def given_back(lease: Lease, *, used: bool) -> Settlement:
    """The job goes back to its place; `used`: its permit may have been used for a call."""
    return Settlement(lease=lease, verdict="gone" if used else "unused", to="front")


def dropped(lease: Lease) -> Settlement:
    """The ledger wants no call for it: it has ended, or nobody asks for it any more."""
    return Settlement(lease=lease, verdict="unused", to="drop")


def set_aside(lease: Lease) -> Settlement:
    """It is no job of ours."""
    return Settlement(lease=lease, verdict="unused", to="refuse")


def described(error: Exception | None) -> JobError:
    """What stands in the ledger and in results."""
    status_code = error.status_code if isinstance(error, HFAPIError) else None
    return JobError(type=type(error).__name__, message=str(error), status_code=status_code)


def _verdict(ending: FinishedExecution) -> Verdict:
    # A server that answers badly is there: taking it for an outage would ask, and pay, for ever.
    outcome = ending.ended.outcome
    if isinstance(outcome, Hold):
        return "hold"
    if not ending.ended.called:
        return "unused"
    if isinstance(ending.ended.error, StoppedError | OutOfMemoryError):
        return "gone"  # cut by hand, or by this machine: it says nothing about the provider
    match outcome:
        case Throttled():
            return "throttled"
        case Unreachable():
            return "unreachable"
        case Transient() if not isinstance(ending.ended.error, HFBadAnswerError):
            return "suspect" if ending.lease.suspect else "transient"
    return "ok"


def _move(ending: FinishedExecution) -> Move:
    outcome = ending.ended.outcome
    if isinstance(outcome, Done):
        return "finished"
    if ending.outage:
        return "back"  # whether the server is there again, another one finds out
    if isinstance(outcome, Refused) or (isinstance(outcome, Transient) and outcome.last):
        return "failed"
    return "delay" if isinstance(outcome, Transient) else "front"


def _why(ended: ExecutionResult) -> str | None:
    if isinstance(ended.outcome, Unreachable):
        return "unreachable"
    if isinstance(ended.error, HFModelLoadingError):
        return "loading"
    return "throttled" if isinstance(ended.error, HFRateLimitError) else None


def _kind(ending: FinishedExecution) -> str | None:
    """What a provider's no to this job has in common with others': one for good, or one that gives a reason."""
    says_why = isinstance(ending.ended.error, HFErrorReplyError)
    if not ending.ended.called or not (says_why or _move(ending) == "failed"):
        return None
    error = described(ending.ended.error)
    return f"{error.type} {error.status_code}: {error_kind(error.message)}"


def _answer_row(ended: ExecutionResult) -> AnswerRow:
    answer = ended.answer
    if answer is None:
        raise AssertionError("a Done without an answer")
    return AnswerRow(
        text=answer.text,
        raw=answer.raw,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        latency_s=ended.latency_s,
        request_id=answer.request_id,
        provider=answer.provider,
        rehearsal=answer.rehearsal,
        finish_reason=answer.finish_reason,
        sent=ended.sent,
    )
