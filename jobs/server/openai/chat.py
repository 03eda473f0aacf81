"""`POST /v1/chat/completions`: one job ahead of folders, through the same gates, answered when it is done."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from jobs.batches.documents import result_document
from jobs.charts.links import chart_from_elsewhere
from jobs.core.errors import ImageError, InputError
from jobs.formats.openai_batch import completion
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError
from jobs.server.json_body import json_object
from jobs.server.openai.shapes import ChatCompletion
from jobs.server.responses import Document
from jobs.server.waiting import Pending, answer_to
from jobs.submit.batch_line import read_chat_body
from jobs.submit.question import picture_limits
from jobs.submit.single import SingleQuestion

router = APIRouter(tags=["openai"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "messages"],
                "properties": {
                    "model": {"type": "string", "minLength": 1},
                    "messages": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["role", "content"],
                            "properties": {
                                "role": {"type": "string"},
                                "content": {
                                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]
                                },
                            },
                        },
                    },
                    "stream": {"enum": [False, None]},
                },
            },
            "example": {"model": "org/model", "messages": [{"role": "user", "content": "What is a candlestick?"}]},
        }
    },
}


@router.post(
    "/v1/chat/completions",
    operation_id="create_chat_completion",
    response_model=ChatCompletion,
    openapi_extra={"requestBody": _BODY},
)
async def create(request: Request, access: Granted) -> Document:
    """As OpenAI has it. The same request again is the same job: one call, however many ask.

    503 with `Retry-After` when the lane is closed for longer than a call may take, or on hold.
    """
    held = int(request.headers.get("content-length") or 0)
    access.backend.hold_in_memory(held)
    try:
        body = await json_object(request)
        asked = await run_in_threadpool(_question, access, body)
    finally:
        access.backend.release_memory(held)
    answer = await answer_to(access, asked)
    if isinstance(answer, Pending):
        until = f" until {answer.resume_at}" if answer.resume_at else ""
        raise ApiError(
            503,
            f"no answer yet: the lane is closed{until}; ask again, or GET /jobs/{answer.job_id}",
            code="lane_closed",
            headers={"retry-after": str(answer.retry_after_s)},
        )
    row = result_document(answer.shown)
    return Document(completion(row), headers={"x-chartq-job-id": row["job_id"]})


def _question(access: Access, body: dict[str, Any]) -> SingleQuestion:
    """Raises ApiError."""
    if body.get("stream"):
        raise ApiError(400, "streams are not given: leave `stream` out, answers come whole", param="stream")
    settings = access.session.settings
    for name in ("model", "messages"):
        if not body.get(name):
            raise ApiError(400, f"{name!r} is missing", param=name)
    try:
        question, urls = read_chat_body(body, limits=picture_limits(settings))
        charts = [chart_from_elsewhere(url, settings.chart_root) for url in urls]
    except ImageError as error:
        raise ApiError(400, str(error), param="messages", code="invalid_image") from None
    except InputError as error:
        raise ApiError(400, str(error), param="messages") from None
    return SingleQuestion(question=question, charts=charts, count_rehearsals=settings.rehearsal)
