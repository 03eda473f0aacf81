"""One chart, one question, one answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool

from jobs.charts.links import chart_of_bytes
from jobs.formats.rows import finish_reason_of
from jobs.ledger import JobRow
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError
from jobs.server.multipart import Fields, pieces
from jobs.server.responses import Document
from jobs.server.shapes import ERRORS, Analysis
from jobs.server.shapes import Pending as PendingShape
from jobs.server.waiting import Pending, answer_to
from jobs.submit.question import MIN_SIDE, make_question
from jobs.submit.single import SingleQuestion

router = APIRouter(tags=["analyze"])

#: Bytes of the picture.
MAX_BYTES = 50_000_000

#: What is asked if nothing is.
DEFAULT_PROMPT = "Describe this chart: what kind it is, what it shows, its trend, and the values that stand out."

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "The picture, at most 50 MB."},
                    "prompt": {"type": "string", "description": f"Default: {DEFAULT_PROMPT}"},
                    "model": {"type": "string", "description": "Default: VISION_MODEL."},
                    "max_side": {"type": "integer", "minimum": 16, "description": "Default: IMAGE_MAX_SIDE."},
                },
            }
        }
    },
}

_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where the job's document is."}}


@router.post(
    "/analyze",
    responses={
        200: {"model": Analysis},
        202: {"model": PendingShape, "description": "Asked, and not answered yet.", "headers": _LOCATION},
        **ERRORS,
    },
    response_class=Document,
    openapi_extra={"requestBody": _BODY},
)
async def analyze(request: Request, access: Granted, prefer: Annotated[str | None, Header()] = None) -> Document:
    """Ask about one picture, ahead of folders; the same picture with the same question is one call.

    202 with `Prefer: respond-async`, and when the lane is closed for longer than VISION_TIMEOUT.
    """
    asked = await _receive(request, access)
    answer = await answer_to(access, asked, wait="respond-async" not in (prefer or "").lower())
    if isinstance(answer, Pending):
        place = f"{request.scope.get('root_path', '')}/jobs/{answer.job_id}"
        headers = {"location": place, "retry-after": str(answer.retry_after_s)}
        return Document({"job_id": answer.job_id, "status": "queued", "resume_at": answer.resume_at}, 202, headers)
    return Document(_analysis(answer))


def _analysis(row: JobRow) -> dict[str, Any]:
    return {
        "analysis": row.text,
        "job_id": row.job_id,
        "model": row.question.model,
        "finish_reason": row.finish_reason or finish_reason_of(row.raw),
        "usage": {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens},
    }


async def _receive(request: Request, access: Access) -> SingleQuestion:
    """Raises ApiError, InputError."""
    fields, picture, files = Fields(), bytearray(), 0
    held = 0
    try:
        async for part, data in pieces(request, max_files=1):
            if part.filename is None:
                fields.take((part, data))
                continue
            if part.name != "file":
                raise ApiError(400, f"{part.name[:100]!r} is no field for the picture: name it file", param="file")
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


def _max_side(texts: dict[str, str]) -> int | None:
    """Raises ApiError."""
    said = texts.get("max_side", "").strip()
    if not said:
        return None
    if not (said.isascii() and said.isdigit() and int(said[:9]) >= MIN_SIDE and len(said) < 9):
        raise ApiError(400, f"max_side is a number of pixels, {MIN_SIDE} or more", param="max_side")
    return int(said)


def _question(access: Access, picture: bytes, texts: dict[str, str]) -> SingleQuestion:
    settings = access.session.settings
    unknown = sorted(texts.keys() - {"prompt", "model", "max_side"})
    if unknown:
        raise ApiError(
            400, f"there is no field {unknown[0][:100]!r}: prompt, model and max_side are taken", param=unknown[0][:100]
        )
    prompt = texts.get("prompt", "").strip() or DEFAULT_PROMPT
    question = make_question(
        settings, prompt=prompt, model=texts.get("model") or None, parameters={}, max_side=_max_side(texts)
    )
    chart = chart_of_bytes(picture)
    return SingleQuestion(question=question, charts=[chart], count_rehearsals=settings.rehearsal)
