"""What a worker reports about a job: values, written many at a time."""

from dataclasses import dataclass
from typing import Any, Literal

from jobs.ledger.records import JobError


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """A model's answer and what it took."""

    text: str
    #: The server's reply, any JSON value.
    raw: Any
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float | None = None
    request_id: str | None = None
    provider: str | None = None
    rehearsal: bool = False
    #: Why it ended, as the server said it.
    finish_reason: str | None = None
    #: What the model was shown: {"format", "width", "height", "bytes"}, or a list of these; None: no picture.
    sent: Any = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An answer. Counts while the job is open, whoever holds it by now: it is paid for."""

    job_id: str
    execution_id: str
    answer: AnswerRow
    attempts_spent: int = 1


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job's end without an answer. Counts only from the execution that holds the job."""

    job_id: str
    execution_id: str
    error_type: str
    message: str
    status_code: int | None = None
    attempts_spent: int = 1


@dataclass(frozen=True, kw_only=True)
class Returned:
    """The job goes back, to run now or later. Counts only from the execution that holds the job."""

    job_id: str
    execution_id: str
    status: Literal["queued", "scheduled"] = "queued"
    attempts_spent: int = 0
    throttled: int = 0
    lost: bool = False
    error: JobError | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerLost:
    """The execution's worker is gone. After more than `max_losses` of these the job fails."""

    job_id: str
    execution_id: str
    max_losses: int


Change = Finished | Failed | Returned | WorkerLost
