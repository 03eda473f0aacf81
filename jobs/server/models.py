"""The shapes of answers, for `/openapi.json`: what is sent are the commands' own documents, not made through these."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from jobs.core.job import ENDED_STATES, OPEN_STATES

#: The states of a job, as a query may ask for them.
State = Literal["queued", "started", "scheduled", "finished", "failed", "canceled"]
assert set(State.__args__) == {*OPEN_STATES, *ENDED_STATES}  # type: ignore[attr-defined]


class _Shape(BaseModel):
    """More fields may come."""

    model_config = ConfigDict(extra="allow")


class ErrorBody(_Shape):
    """What went wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(_Shape):
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


class Health(_Shape):
    """Redis and the store answer."""

    status: Literal["ok"]


class Key(_Shape):
    """The key that came with the request; `name` is null where none is asked for."""

    name: str | None
    read_only: bool
    #: May it pause, resume and limit what is everybody's?
    lanes: bool


class RequestCounts(_Shape):
    """The six states add up to `total`."""

    total: int
    queued: int
    started: int
    scheduled: int
    finished: int
    failed: int
    canceled: int


class Hold(_Shape):
    """Why nothing goes on without a person."""

    reason: str
    message: str | None
    since: str | None


class Usage(_Shape):
    """Tokens, as the provider counted them."""

    prompt_tokens: int | None
    completion_tokens: int | None


class Batch(_Shape):
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


class Batches(_Shape):
    """Batches, the newest first. `has_more`: the next page is `after=` the last one's id."""

    data: list[Batch]
    has_more: bool


class Row(_Shape):
    """A line of `chartq results` without `raw`; of a stage also `source_text`, the answer that it asks about."""

    job_id: str
    custom_id: str
    image: str | list[str] | None
    status: State
    text: str | None
    error: dict[str, Any] | None
    attempts: int
    throttled: int


class Price(_Shape):
    """US dollars per million tokens."""

    input_usd_per_m: float
    output_usd_per_m: float


class Prices(_Shape):
    """What those who may answer take."""

    data: list[Price]


class Plan(_Shape):
    """What a submit would do: `chartq submit --dry-run --json`."""

    total: int
    cached: int
    calls: int
    tokens: dict[str, Any] | None
    price_usd: dict[str, float] | None
    eta_s: float | None
    done_by: str | None


class Rows(_Shape):
    """Some rows from `offset` on, and how many there are in all."""

    data: list[Row]
    offset: int
    total: int


class FailureKind(_Shape):
    """Failures that are alike: a line of `chartq errors --json`."""

    type: str
    status_code: int | None
    message: str
    count: int
    job_ids: list[str]


class Failures(_Shape):
    """The kinds of failures, the most frequent first."""

    data: list[FailureKind]


class RejectedFile(_Shape):
    """A file that can't be asked about."""

    path: str
    error: str


class Submitted(_Shape):
    """What came of a submit: `chartq submit --json`."""

    batch_id: str
    total: int
    queued: int
    cached: int
    rejected: list[RejectedFile]


class JobFailure(_Shape):
    """Why a job has no answer."""

    type: str
    message: str
    status_code: int | None


class Job(_Shape):
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


class Lane(_Shape):
    """A lane as one account sees it: `chartq lanes --json`."""

    account: str | None
    lane: str
    model: str
    state: Literal["open", "closed", "on_hold"]
    reason: str | None
    message: str | None
    in_flight: int
    queued: int


class Lanes(_Shape):
    """All lanes that are known."""

    data: list[Lane]


class Analysis(_Shape):
    """An answer to one question about one chart."""

    analysis: str
    job_id: str
    model: str
    finish_reason: str | None
    usage: Usage


class Pending(_Shape):
    """No answer yet; `GET` the place that `Location` names."""

    job_id: str
    status: str
    resume_at: str | None


class ChatChoice(_Shape):
    """The answer."""

    index: int
    message: dict[str, Any]
    finish_reason: str


class ChatCompletion(_Shape):
    """As OpenAI has it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]


class FileObject(_Shape):
    """A file, as OpenAI has it."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]


class Files(_Shape):
    """A page of files."""

    object: Literal["list"]
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Deleted(_Shape):
    """It is gone."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class OpenAICounts(_Shape):
    """How many requests stand where."""

    total: int
    completed: int
    failed: int


class OpenAIBatchObject(_Shape):
    """A batch, as OpenAI has it; `hold` says why it waits for a person."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: dict[str, Any] | None
    input_file_id: str
    completion_window: str
    status: Literal["validating", "failed", "in_progress", "completed", "cancelling", "cancelled"]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    completed_at: int | None
    failed_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: OpenAICounts
    metadata: dict[str, str] | None
    hold: Hold | None


class OpenAIBatches(_Shape):
    """A page of batches."""

    object: Literal["list"]
    data: list[OpenAIBatchObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Model(_Shape):
    """A model, as OpenAI has it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(_Shape):
    """All of them."""

    object: Literal["list"]
    data: list[Model]
