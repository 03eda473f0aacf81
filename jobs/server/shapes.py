"""The shapes of answers, for `/openapi.json`: what is sent are the commands' own documents, not made through these.

They repeat `jobs/batches/shapes.py`, as pydantic takes `typing.TypedDict` from Python 3.12 on only; a test compares
what is answered with them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from jobs.core.job import ENDED_STATES, OPEN_STATES

#: The states of a job, as a query may ask for them.
State = Literal["queued", "started", "scheduled", "finished", "failed", "canceled"]
assert set(State.__args__) == {*OPEN_STATES, *ENDED_STATES}  # type: ignore[attr-defined]


class Shape(BaseModel):
    """More fields may come."""

    model_config = ConfigDict(extra="allow")


class ErrorBody(Shape):
    """What went wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Shape):
    """Every error, as OpenAI has them."""

    error: ErrorBody


_MEANINGS = {
    400: "The request can't be used as it is: the message says what to mend.",
    401: "A key is needed: `Authorization: Bearer KEY`.",
    403: "This key, or this page, may not do that.",
    404: "There is no such thing, or it is another key's.",
    405: "The path is known, the method isn't.",
    408: "The request's body came too slowly.",
    409: "It stands otherwise than this needs it.",
    413: "The request's body is too large.",
    415: "The request's body is of another kind.",
    500: "A fault in chartq.",
    501: "Something that this needs is not installed.",
    502: "The provider has no answer to this question.",
    503: "Not now: Redis, the store or the lane; the message says why.",
}

#: What any request may be answered with.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": meaning} for status, meaning in _MEANINGS.items()
}


class Health(Shape):
    """Redis and the store answer."""

    status: Literal["ok"]


class Key(Shape):
    """The key that came with the request; `name` is null where none is asked for."""

    name: str | None
    read_only: bool
    #: May it pause, resume and limit what is everybody's?
    lanes: bool


class RequestCounts(Shape):
    """The six states add up to `total`."""

    total: int
    queued: int
    started: int
    scheduled: int
    finished: int
    failed: int
    canceled: int


class Hold(Shape):
    """Why nothing goes on without a person."""

    reason: str
    message: str | None
    since: str | None


class Usage(Shape):
    """Tokens, as the provider counted them."""

    prompt_tokens: int | None
    completion_tokens: int | None


class Batch(Shape):
    """Where a batch stands: `chartq status BATCH --json`."""

    batch_id: str
    name: str | None
    model: str
    status: Literal["in_progress", "on_hold", "completed", "completed_with_errors", "canceled"]
    request_counts: RequestCounts
    hold: Hold | None
    resume_at: str | None
    eta_s: float | None
    usage: Usage
    created_at: str
    finished_at: str | None


class Batches(Shape):
    """Batches, the newest first. `has_more`: the next page is `after=` the last one's id."""

    data: list[Batch]
    has_more: bool


class Row(Shape):
    """A line of `chartq results` without `raw`; of a stage also `source_text`, the answer that it asks about."""

    job_id: str
    custom_id: str
    image: str | list[str] | None
    status: State
    text: str | None
    error: dict[str, Any] | None
    attempts: int
    throttled: int


class Price(Shape):
    """US dollars per million tokens."""

    input_usd_per_m: float
    output_usd_per_m: float


class Prices(Shape):
    """What those who may answer take."""

    data: list[Price]


class Plan(Shape):
    """What a submit would do: `chartq submit --dry-run --json`."""

    total: int
    cached: int
    calls: int
    tokens: dict[str, Any] | None
    price_usd: dict[str, float] | None
    eta_s: float | None
    done_by: str | None


class Rows(Shape):
    """Some rows from `offset` on, and how many there are in all."""

    data: list[Row]
    offset: int
    total: int


class FailureKind(Shape):
    """Failures that are alike: a line of `chartq errors --json`."""

    type: str
    status_code: int | None
    message: str
    count: int
    job_ids: list[str]


class Failures(Shape):
    """The kinds of failures, the most frequent first."""

    data: list[FailureKind]


class RejectedFile(Shape):
    """A file that can't be asked about."""

    path: str
    error: str


class Submitted(Shape):
    """What came of a submit: `chartq submit --json`."""

    batch_id: str
    total: int
    queued: int
    cached: int
    rejected: list[RejectedFile]


class JobFailure(Shape):
    """Why a job has no answer."""

    type: str
    message: str
    status_code: int | None


class Job(Shape):
    """Where a job stands: `chartq status JOB --json`."""

    job_id: str
    custom_id: str | None
    image: str | None
    model: str
    prompt: str
    status: State
    attempts: int
    throttled: int
    error: JobFailure | None
    result: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class Lane(Shape):
    """A lane as one account sees it: `chartq lanes --json`."""

    account: str | None
    lane: str
    model: str
    state: Literal["open", "closed", "on_hold"]
    reason: str | None
    message: str | None
    in_flight: int
    queued: int


class Lanes(Shape):
    """All lanes that are known."""

    data: list[Lane]


class Analysis(Shape):
    """An answer to one question about one chart."""

    analysis: str
    job_id: str
    model: str
    finish_reason: str | None
    usage: Usage


class Pending(Shape):
    """No answer yet; `GET` the place that `Location` names."""

    job_id: str
    status: str
    resume_at: str | None
