"""What goes into the ledger and what comes out of it. Times are seconds since the epoch, UTC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobs.core.controls import PAUSED, Pause
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question
from jobs.ledger.columns import path_from_store


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Why a batch waits for the user."""

    reason: str
    #: Of a pause: who paused it.
    message: str
    since: float
    #: When it ends by itself.
    until: float | None = None

    @property
    def is_pause(self) -> bool:
        return self.reason == PAUSED

    @property
    def pause(self) -> Pause:
        """What it is if somebody paused the batch."""
        return Pause(by=self.message, since=self.since, until=self.until)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One submit: many charts of one lane, mostly with one question. A picture of its row when it was read."""

    id: int
    batch_id: str
    name: str | None
    #: What is asked about every chart; of a requests file, what its first request asks.
    question: Question
    fingerprint: str
    priority: str
    #: Members, counted at the end of the submit; None until then.
    total: int | None
    created_at: float
    sealed_at: float | None
    canceled_at: float | None
    hold: Hold | None
    #: The PATHs as the user gave them.
    sources: Sequence[str]
    #: How many charts there were when a sample was taken of them; None: the batch has them all.
    sampled_of: int | None = None
    max_failures: FailureLimit | None = None
    #: The id of the batch whose answers this one asks about.
    source: str | None = None
    #: The name of the key that made it; None: it came from a command line, or there are no keys.
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewMember:
    """One row of a submit."""

    position: int
    custom_id: str
    job_id: str
    #: What the job is about (`subject_of`): its picture's hash, several, or "" for text alone.
    image_sha256: str
    #: Where that lies (`join_pictures`).
    image: str
    #: What is asked about it; None: the batch's question. Always of the batch's lane.
    question: Question | None = None
    #: Pixels of its largest picture's longer side; 0: none, or nobody looked.
    longest_side: int = 0
    #: Of a stage: the job whose answer is asked about, and when that had ended.
    source_job: str | None = None
    source_at: float | None = None
    #: The pictures themselves, by their hashes, where no file holds them.
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class SourceAnswer:
    """An answer that another batch asks about."""

    position: int
    custom_id: str
    job_id: str
    #: Of its chart, and where that lies; empty: it has none, or nobody asked.
    image_sha256: str
    image: str
    finished_at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of rows that were added to a batch."""

    #: Job ids that belong on the queue; putting one there twice must do no harm.
    queue: list[str]
    #: Rows whose answer was there before the batch.
    cached: int


@dataclass(frozen=True, kw_only=True)
class StartedJob:
    """What a worker needs to know of a job that it has just started."""

    job_id: str
    execution_id: str
    question_id: str
    image_sha256: str
    image: str
    attempts: int
    throttled: int
    losses: int
    #: When it was last submitted or retried.
    queued_at: float
    #: One batch that wants it, for logs.
    batch_id: str | None


@dataclass(frozen=True, kw_only=True)
class OpenJob:
    """A job that has not ended, for the sweep and for resume."""

    id: int
    job_id: str
    status: str
    lane: str
    #: The newest batch that wants it now, and that batch's priority; None if none does, or only such on hold.
    batch_id: str | None
    priority: str | None
    execution_id: str | None
    started_at: float | None
    losses: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Where a batch stands, at one moment; the six states add up to `total`."""

    total: int = 0
    queued: int = 0
    started: int = 0
    scheduled: int = 0
    finished: int = 0
    failed: int = 0
    canceled: int = 0
    #: Sums over finished rows; a chart that is in the batch twice counts twice, as in the results.
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: Rows finished or failed since the moment asked about, and within nine minutes before it too.
    recent_ended: int = 0
    lately_ended: int = 0
    #: Finished rows whose answer ended at max_tokens.
    cut_off: int = 0
    #: When the last finished or failed row ended.
    last_ended_at: float | None = None

    @property
    def open(self) -> int:
        """Rows that have not ended."""
        return self.queued + self.started + self.scheduled


@dataclass(frozen=True, kw_only=True)
class CallsMade:
    """Calls for a batch's jobs."""

    #: Those that count: answers, and failures that were the job's.
    attempts: int = 0
    #: Those that the provider refused because there were too many; they spend no attempt.
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class TokensSpent:
    """What answers took, all together; at least one of them."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    #: Answers to the question asked about; else of its lane (API kind and model) to others.
    same_question: bool


@dataclass(frozen=True, kw_only=True)
class JobError:
    """The last thing that went wrong with a job."""

    type: str
    message: str
    status_code: int | None


class ResultRow(NamedTuple):
    """One row of a batch's results, as the statement gives it: nothing is read before somebody asks."""

    position: int
    custom_id: str
    job_id: str
    stored_image: str
    model: str
    prompt: str
    status: str
    error_type: str | None
    error_message: str | None
    status_code: int | None
    attempts: int
    throttled: int
    finished_at: float | None
    #: The stand-in's answer, not a model's. A number in SQLite.
    rehearsal: bool | int
    #: What the answer took; None unless the row is finished.
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float | None
    request_id: str | None
    provider: str | None
    #: Why the answer ended, as the server said it.
    finish_reason: str | None
    #: JSON: the picture that the model was shown; of several a list.
    sent_json: str | None
    text: str | None
    #: The server's reply, JSON as the ledger has it; None too if nobody asked for it.
    raw_json: str | None

    @property
    def image(self) -> str:
        return path_from_store(self.stored_image)

    @property
    def error(self) -> JobError | None:
        if self.error_type is None:
            return None
        return JobError(type=self.error_type, message=self.error_message or "", status_code=self.status_code)

    @property
    def sent(self) -> Any:
        return None if self.sent_json is None else json.loads(self.sent_json)

    @property
    def raw(self) -> Any:
        return None if self.raw_json is None else json.loads(self.raw_json)


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """Everything about one job, with one place where it was submitted."""

    #: What a row of results shows of it, but for that row's own name and position.
    shown: ResultRow
    question: Question
    custom_id: str | None
    batch_id: str | None
    image_sha256: str
    execution_id: str | None
    losses: int
    created_at: float
    queued_at: float
    started_at: float | None
