"""`/v1/batches`: OpenAI's view of batches whose requests came in a file."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from jobs.batches import operations
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument, TotalUsageDocument, open_rows
from jobs.ledger.files import output_id
from jobs.ledger.openai_batches import NewOpenAIBatch, OpenAIBatch
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError
from jobs.server.intake import parts_of
from jobs.server.json_body import body_of, fitting, json_object
from jobs.server.openai.files import listed
from jobs.server.openai.shapes import OpenAIBatches, OpenAIBatchObject
from jobs.server.responses import Document
from jobs.submit.question import picture_limits
from jobs.submit.uploaded_batch import question_of

router = APIRouter(tags=["openai"])

_DAY_S = 86_400


class NewBatch(BaseModel):
    """As OpenAI has it."""

    model_config = ConfigDict(extra="ignore")

    input_file_id: str = Field(max_length=200)
    endpoint: Literal["/v1/chat/completions"]
    completion_window: Literal["24h"]
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16
    )


@router.post(
    "/v1/batches",
    operation_id="create_openai_batch",
    response_model=OpenAIBatchObject,
    openapi_extra=body_of(json=NewBatch),
)
async def create(request: Request, access: Granted) -> Document:
    """Make a batch of an uploaded file. It is validated whole first: `validating`, then `failed` or `in_progress`."""
    new = fitting(NewBatch, await json_object(request))
    return await run_in_threadpool(_create, access, new)


def _create(access: Access, new: NewBatch) -> Document:
    ledger = access.session.ledger
    file = access.file(new.input_file_id)
    if file.purpose != "batch":
        raise ApiError(400, f"the file's purpose is {file.purpose!r}, not 'batch'", param="input_file_id")
    question = question_of(parts_of(ledger, file), picture_limits(access.session.settings))
    batch_id = ledger.create_openai_batch(
        NewOpenAIBatch(owner=access.owner, **new.model_dump()),
        question=question,
        name=(new.metadata or {}).get("description") or file.filename or None,
        now=access.session.now(),
    )
    access.backend.intake.look_now()
    return _shown(access, batch_id)


def _shown(access: Access, batch_id: str) -> Document:
    return Document(document(access.session, access.openai_batch(batch_id)))


@router.get("/v1/batches", operation_id="list_openai_batches", response_model=OpenAIBatches)
def list_batches(
    access: Granted, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Document:
    """The batches that were made of files, the newest first."""
    before = None if after is None else access.openai_batch(after).batch
    page = access.session.ledger.openai_batches(owner=access.owner, before=before, limit=limit + 1)
    return listed(documents(access.session, page[:limit]), has_more=len(page) > limit)


@router.get("/v1/batches/{batch_id}", operation_id="get_openai_batch", response_model=OpenAIBatchObject)
async def get(batch_id: str, access: Granted) -> Response:
    """Where a batch stands, a quarter of a second ago at most."""
    access.backend.intake.start()  # an app that is mounted in another one wasn't told that it began
    return await access.recent("OpenAI's batch", batch_id, lambda: _shown(access, batch_id))


@router.post("/v1/batches/{batch_id}/cancel", operation_id="cancel_openai_batch", response_model=OpenAIBatchObject)
def cancel(batch_id: str, access: Granted) -> Document:
    """What has not started is canceled; what runs ends. Each request has its line in the output or the error file."""
    record = access.openai_batch(batch_id)
    status = document(access.session, record)["status"]
    if status in ("completed", "failed"):
        raise ApiError(409, f"the batch has {status}: there is nothing to cancel", code="batch_not_cancellable")
    access.session.ledger.cancel_openai_batch(record, access.session.now())
    if access.openai_batch(batch_id).status == "submitted":
        operations.cancel(access.session, access.batch(batch_id))
    else:
        access.backend.intake.look_now()  # it cancels what it has submitted
    return _shown(access, batch_id)


def document(session: Session, record: OpenAIBatch) -> dict[str, Any]:
    return documents(session, [record])[0]


def documents(session: Session, records: Sequence[OpenAIBatch]) -> list[dict[str, Any]]:
    batches = [session.ledger.batch(record.batch_id) for record in records]
    ours = list(session.statuses(batches))
    return [openai_document(record, one) for record, one in zip(records, ours, strict=True)]


def openai_document(record: OpenAIBatch, ours: BatchDocument) -> dict[str, Any]:
    """Pure: the record, and the batch's own document, as OpenAI's batch."""
    counts = ours["request_counts"]
    status = openai_status(record, ours)
    ended_at = _seconds(ours["finished_at"])
    over = status in ("completed", "cancelled")
    return {
        "id": record.batch_id,
        "object": "batch",
        "endpoint": record.endpoint,
        "model": ours["model"] or None,
        "errors": {"object": "list", "data": list(record.errors)} if record.errors else None,
        "input_file_id": record.input_file_id,
        "completion_window": record.completion_window,
        "status": status,
        "output_file_id": output_id(record.batch_id, "output") if over and counts["finished"] else None,
        "error_file_id": output_id(record.batch_id, "errors")
        if over and counts["failed"] + counts["canceled"]
        else None,
        "created_at": int(record.created_at),
        "in_progress_at": None if record.submitted_at is None else int(record.submitted_at),
        "expires_at": int(record.created_at) + _DAY_S,
        "finalizing_at": ended_at if status == "completed" else None,
        "completed_at": ended_at if status == "completed" else None,
        "failed_at": None if record.failed_at is None else int(record.failed_at),
        "expired_at": None,
        "cancelling_at": None if record.cancelling_at is None else int(record.cancelling_at),
        "cancelled_at": ended_at if status == "cancelled" else None,
        "request_counts": {"total": counts["total"], "completed": counts["finished"], "failed": counts["failed"]},
        "usage": _usage(ours["usage"]),
        "metadata": record.metadata,
        "hold": ours["hold"],
    }


def openai_status(record: OpenAIBatch, ours: BatchDocument) -> str:
    """OpenAI's word. On hold is in progress: OpenAI has no word for it, and `hold` says why."""
    if record.status == "failed":
        return "failed"
    if record.cancelling_at is not None:
        # What nobody has started is canceled at once, what runs ends: until then it is not over.
        return "cancelling" if open_rows(ours["request_counts"]) or record.status == "validating" else "cancelled"
    if record.status == "validating":
        return "validating"
    if ours["status"] == "canceled":
        return "cancelled"
    return "completed" if ours["status"] in ("completed", "completed_with_errors") else "in_progress"


def _usage(ours: TotalUsageDocument) -> dict[str, Any]:
    counted = {"input_tokens": ours["prompt_tokens"], "output_tokens": ours["completion_tokens"]}
    return {
        **counted,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(counted.values()),
    }


def _seconds(iso: str | None) -> int | None:
    return None if iso is None else int(datetime.fromisoformat(iso).timestamp())
