"""The shapes of answers, for `/openapi.json`: what is sent are the commands' own documents, not made through these."""

from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from jobs.batches.shapes import BatchDocument as BatchDocument
from jobs.batches.shapes import HoldDocument as HoldDocument
from jobs.batches.shapes import JobDocument as JobDocument
from jobs.batches.shapes import JobState, LaneDocument, UsageDocument
from jobs.core.money import Price


class Shape(BaseModel):
    """More fields may come."""

    model_config = ConfigDict(extra="allow")


@cache
def _for_pydantic(hint: Any) -> Any:
    """A hint without `typing.TypedDict`, which pydantic takes from Python 3.12 on.

    The other module that has it costs producers, who make these documents, 10 ms.
    """
    if is_typeddict(hint):
        fields = {name: _for_pydantic(of) for name, of in get_type_hints(hint, include_extras=True).items()}
        described = TypedDict(hint.__name__, fields)  # type: ignore[misc]
        described.__doc__ = hint.__doc__
        return described
    if get_origin(hint) in (UnionType, Union):
        return Union[tuple(map(_for_pydantic, get_args(hint)))]  # noqa: UP007 (made of a tuple)
    if get_origin(hint) is list:
        return list[_for_pydantic(get_args(hint)[0])]  # type: ignore[misc]
    return hint


if not TYPE_CHECKING:
    BatchDocument, HoldDocument, JobDocument, LaneDocument, UsageDocument = map(
        _for_pydantic, (BatchDocument, HoldDocument, JobDocument, LaneDocument, UsageDocument)
    )


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


class Batches(Shape):
    """Batches, the newest first. `has_more`: the next page is `after=` the last one's id."""

    data: list[BatchDocument]
    has_more: bool


class Row(Shape):
    """A line of `chartq results` without `raw`; of a stage also `source_text`, the answer that it asks about."""

    job_id: str
    custom_id: str
    image: str | list[str] | None
    status: JobState
    text: str | None
    error: dict[str, Any] | None
    attempts: int
    throttled: int


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


class Lanes(Shape):
    """All lanes that are known."""

    data: list[LaneDocument]


class Analysis(Shape):
    """An answer to one question about one chart."""

    analysis: str
    job_id: str
    model: str
    finish_reason: str | None
    usage: UsageDocument


class Pending(Shape):
    """No answer yet; `GET` the place that `Location` names."""

    job_id: str
    status: str
    resume_at: str | None
