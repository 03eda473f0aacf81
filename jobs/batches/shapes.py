"""The shapes of the contract's documents: dicts, as they are written out as JSON, whose keys a type checker knows.

`jobs/server/shapes.py` describes the same to the readers of `/openapi.json`.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

JobState = Literal["finished", "failed", "canceled", "started", "scheduled", "queued"]
#: As they are told to people.
JOB_STATES: Final[tuple[JobState, ...]] = ("finished", "failed", "canceled", "started", "scheduled", "queued")

BatchState = Literal["in_progress", "on_hold", "completed", "completed_with_errors", "canceled"]
#: States of a batch that has no work left.
ENDED_BATCH: Final[tuple[BatchState, ...]] = ("completed", "completed_with_errors", "canceled")


class CountsDocument(TypedDict):
    """How many jobs stand where; the six states add up to `total`."""

    total: int
    queued: int
    started: int
    scheduled: int
    finished: int
    failed: int
    canceled: int


def open_rows(counts: CountsDocument) -> int:
    """Jobs that have not ended."""
    return counts["queued"] + counts["started"] + counts["scheduled"]


class HoldDocument(TypedDict):
    """Why nothing goes on without a person."""

    reason: str | None
    message: str | None
    since: str | None


class UsageDocument(TypedDict):
    """Tokens, as the provider counted them."""

    prompt_tokens: int | None
    completion_tokens: int | None


class TotalUsageDocument(TypedDict):
    """Tokens of a batch's answers together."""

    prompt_tokens: int
    completion_tokens: int


def tokens_text(usage: TotalUsageDocument) -> str:
    """`6,230 in, 547 out`."""
    return f"{usage['prompt_tokens']:,} in, {usage['completion_tokens']:,} out"


#: `status BATCH --json`. Moments are ISO 8601; `from` is the id of the batch whose answers this one asks about.
BatchDocument = TypedDict(
    "BatchDocument",
    {
        "batch_id": str,
        "name": str | None,
        "model": str,
        "status": BatchState,
        "request_counts": CountsDocument,
        "hold": HoldDocument | None,
        "resume_at": str | None,
        "eta_s": float | None,
        "usage": TotalUsageDocument,
        "created_at": str,
        "finished_at": str | None,
        "from": str | None,
        "cut_off": int,
        "prompt": str,
        "sample_of": NotRequired[int],
    },
)


class ErrorDocument(TypedDict):
    """Why a job has no answer."""

    type: str
    message: str
    status_code: int | None


class AnswerDocument(TypedDict):
    """What a job's answer is, beside the reply that it came in."""

    text: str
    raw: Any
    usage: UsageDocument
    latency_s: float | None
    request_id: str | None
    provider: str | None
    rehearsal: bool
    finish_reason: str | None
    sent: Any


class JobDocument(TypedDict):
    """`status JOB --json`. `image` is a list of several pictures, null for text."""

    job_id: str
    custom_id: str | None
    image: str | list[str] | None
    model: str
    prompt: str
    status: str
    attempts: int
    throttled: int
    error: ErrorDocument | None
    result: AnswerDocument | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None


class WindowDocument(TypedDict):
    """One window of a lane's budget: calls allowed, made and left."""

    limit: int
    window_s: float
    used: int
    left: int


class HourDocument(TypedDict):
    """The last hour by the minute, the oldest first: calls that ended, and those of them that were refused."""

    calls: list[int]
    refused: list[int]


class LaneDocument(TypedDict):
    """A lane as one account sees it: a line of `lanes --json`."""

    account: str | None
    lane: str
    model: str
    live: bool
    state: Literal["open", "closed", "on_hold"]
    reason: str | None
    message: str | None
    since: str | None
    closed_until: str | None
    budget: list[WindowDocument]
    limit: str | None
    workers_budget: str | None
    next_permit_s: float | None
    concurrency: int | None
    in_flight: int
    queued: int
    last_hour: HourDocument
