"""One chart, one question, one answer."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from jobs.charts.links import chart_of_bytes
from jobs.formats.rows import finish_reason_of
from jobs.ledger import ResultRow
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError
from jobs.server.json_body import body_of, filled, fitting
from jobs.server.multipart import Fields, files_of
from jobs.server.responses import Document
from jobs.server.shapes import Analysis
from jobs.server.shapes import Pending as PendingShape
from jobs.server.waiting import Pending, answer_to
from jobs.submit.question import MAX_SIDE, MIN_SIDE, make_question
from jobs.submit.single import SingleQuestion

router = APIRouter(tags=["analyze"])

#: Bytes of the picture.
MAX_BYTES = 50_000_000

#: What is asked if nothing is.
DEFAULT_PROMPT = "Describe this chart: what kind it is, what it shows, its trend, and the values that stand out."


class Asked(BaseModel):
    """What is asked about the picture."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = DEFAULT_PROMPT
    model: str | None = Field(None, description="Default: VISION_MODEL.")
    max_side: int | None = Field(None, ge=MIN_SIDE, le=MAX_SIDE, description="Default: IMAGE_MAX_SIDE.")


class AskedOfUpload(Asked):
    """The picture comes with it."""

    file: bytes = Field(description="The picture, at most 50 MB.")


_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where the job's document is."}}


@router.post(
    "/analyze",
    responses={
        200: {"model": Analysis},
        202: {"model": PendingShape, "description": "Asked, and not answered yet.", "headers": _LOCATION},
    },
    openapi_extra=body_of(form=AskedOfUpload),
)
async def analyze(request: Request, access: Granted, prefer: Annotated[list[str] | None, Header()] = None) -> Document:
    """Ask about one picture, ahead of folders; the same picture with the same question is one call.

    202 with `Prefer: respond-async`, and when the lane is closed for longer than VISION_TIMEOUT.
    """
    asked = await _receive(request, access)
    answer = await answer_to(access, asked, wait=not _wants_no_wait(prefer or ()))
    if isinstance(answer, Pending):
        place = f"{request.scope.get('root_path', '')}/jobs/{answer.job_id}"
        headers = {"location": place, "retry-after": str(answer.retry_after_s)}
        return Document({"job_id": answer.job_id, "status": "queued", "resume_at": answer.resume_at}, 202, headers)
    return Document(_analysis(answer.shown))


def _wants_no_wait(prefer: Iterable[str]) -> bool:
    """Whether `Prefer` says `respond-async`, in a list of any length (RFC 7240)."""
    preferences = (one.partition(";")[0].partition("=")[0] for header in prefer for one in header.split(","))
    return any(one.strip().lower() == "respond-async" for one in preferences)


def _analysis(row: ResultRow) -> dict[str, Any]:
    return {
        "analysis": row.text,
        "job_id": row.job_id,
        "model": row.model,
        "finish_reason": row.finish_reason or finish_reason_of(row.raw),
        "usage": {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens},
    }


async def _receive(request: Request, access: Access) -> SingleQuestion:
    """Raises ApiError, InputError."""
    fields, picture, files = Fields(), bytearray(), 0
    held = 0
    try:
        async for _, data in files_of(request, fields, what="the picture"):
            files += data is None
            if data is not None:
                access.backend.hold_in_memory(len(data))
                held += len(data)
                picture += data
            if len(picture) > MAX_BYTES:
                raise ApiError(413, f"the picture is larger than {MAX_BYTES:,} bytes", param="file", code="too_large")
        if not files:
            raise ApiError(400, "there is no picture: send it as the field `file`", param="file")
        return await run_in_threadpool(_question, access, bytes(picture), fields.texts())
    finally:
        access.backend.release_memory(held)


def _question(access: Access, picture: bytes, texts: dict[str, str]) -> SingleQuestion:
    settings = access.session.settings
    asked = fitting(Asked, filled(Asked, texts))
    question = make_question(settings, prompt=asked.prompt, model=asked.model, parameters={}, max_side=asked.max_side)
    return SingleQuestion(question=question, charts=[chart_of_bytes(picture)], count_rehearsals=settings.rehearsal)
