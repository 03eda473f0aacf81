"""Batches: submit, look, read, act."""

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from jobs.batches import operations
from jobs.batches.plan import plan
from jobs.batches.shapes import JobState
from jobs.formats import FORMATS
from jobs.ledger import Batch as LedgerBatch
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError, below_root
from jobs.server.events import list_events, status_events
from jobs.server.json_body import body_of
from jobs.server.responses import Document
from jobs.server.results import comparison_response, results_response
from jobs.server.row_filter import Shown
from jobs.server.shapes import BatchDocument, Batches, Plan, Prices, Submitted
from jobs.server.submission import AskedOfHashes, AskedOfPaths, AskedOfUploads, receive_batch, receive_plan

router = APIRouter(tags=["batches"])

#: Batches on one page of the list.
_PAGE, _MOST = 100, 1000


@router.get("/batches", response_model=Batches)
def list_batches(
    access: Granted,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _PAGE,
    after: Annotated[str | None, Query(description="The id of the last batch of the page before.")] = None,
) -> Document:
    """The batches, newest first: the documents of `chartq list`."""
    waiting = access.batches()
    if after is not None:
        access.batch(after)
        for batch in waiting:
            if batch.batch_id == after:
                break
    page = list(islice(waiting, limit + 1))
    documents = list(access.session.statuses(page[:limit]))
    return Document({"data": documents, "has_more": len(page) > limit})


@router.post(
    "/batches", status_code=201, response_model=Submitted, openapi_extra=body_of(json=AskedOfPaths, form=AskedOfUploads)
)
async def create_batch(request: Request, access: Granted) -> Document:
    """Submit pictures (multipart), or files and folders under CHART_ROOT (JSON)."""
    order = await receive_batch(request, access)
    done = await run_in_threadpool(access.session.submit, order)
    if done.batch is None:
        why = "; ".join(f"{reject.path}: {reject.error}" for reject in done.rejected[:10])
        raise ApiError(400, f"no image was accepted{': ' + why if why else ''}", code="no_image")
    access.backend.services.work_arrived()
    root = access.session.settings.chart_root
    document = done.document()
    document["rejected"] = [
        {name: below_root(text, root) for name, text in reject.items()} for reject in document["rejected"]
    ]
    return Document(document, 201, {"location": f"{request.scope.get('root_path', '')}/batches/{done.batch.batch_id}"})


@router.post("/batches/plan", response_model=Plan, openapi_extra=body_of(json=AskedOfHashes))
async def plan_batch(request: Request, access: Granted) -> Document:
    """What asking about these pictures would take: `chartq submit --dry-run`, and the model. Nothing is kept."""
    order = await receive_plan(request, access)
    planned = await run_in_threadpool(plan, access.session, order, access.backend.provider.prices)
    return Document({**planned.document(), "model": order.source.question.model})


@router.get(
    "/batches/events",
    responses={
        200: {"description": "Events named `batches`, each a list of documents.", "content": {"text/event-stream": {}}}
    },
    response_class=StreamingResponse,
)
async def all_events(access: Granted) -> StreamingResponse:
    """Server-sent events: the newest 100 batches as `{"data": [...]}`, whenever one has changed; it does not end."""
    stream = list_events(access.backend.watcher, access.owner)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.get("/batches/{batch_id}", response_model=BatchDocument)
async def get_batch(batch_id: str, access: Granted) -> Response:
    """Where a batch stands: the document of `chartq status BATCH`, a quarter of a second old at most."""
    return await access.recent("batch", batch_id, lambda: _shown(access, access.batch(batch_id)))


@router.get(
    "/batches/{batch_id}/results",
    responses={200: {"description": "The results, in the format asked for.", "content": {"application/x-ndjson": {}}}},
    response_class=StreamingResponse,
)
def results(
    batch_id: str,
    access: Granted,
    form: Annotated[str, Query(alias="format", description=f"One of {', '.join(FORMATS)}.")] = "jsonl",
    status: Annotated[JobState | None, Query(description="Only rows of this state.")] = None,
) -> Response:
    """The results in the order of submission, as `chartq results` has them, streamed."""
    return results_response(access, access.batch(batch_id), form=form, status=status)


@router.get(
    "/batches/{batch_id}/compare",
    responses={200: {"description": "Both batches' answers, paired by chart.", "content": {"text/html": {}}}},
    response_class=StreamingResponse,
)
def compare(
    batch_id: str,
    access: Granted,
    other: Annotated[str, Query(alias="with", description="The other batch's id.")],
    form: Annotated[str, Query(alias="format", description="html, csv, markdown or jsonl.")] = "html",
) -> Response:
    """Two batches' answers side by side: `chartq compare BATCH OTHER`."""
    return comparison_response(access, access.batch(batch_id), access.batch(other), form=form)


@router.get("/batches/{batch_id}/prices", response_model=Prices)
def prices(batch_id: str, access: Granted) -> Document:
    """What those who may answer take for the batch's model; empty if nobody tells."""
    found = access.backend.provider.prices(access.session.settings, access.batch(batch_id).question)
    return Document({"data": [vars(price) for price in found]})


@router.get(
    "/batches/{batch_id}/events",
    responses={
        200: {"description": "Events named `status`, each the batch's document.", "content": {"text/event-stream": {}}}
    },
    response_class=StreamingResponse,
)
async def events(batch_id: str, access: Granted) -> StreamingResponse:
    """Server-sent events: the batch's document whenever it has changed, at most once a second, until it has ended."""
    batch = await run_in_threadpool(access.batch, batch_id)
    stream = status_events(access.backend.watcher, batch)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.post("/batches/{batch_id}/resume", operation_id="resume_batch", response_model=BatchDocument)
def resume_batch(batch_id: str, access: Granted) -> Document:
    """What is on hold opens, one probe first; what Redis has lost is put back on the queue."""
    batch = access.batch(batch_id)
    operations.resume(access.session, {batch.question.lane}, batch)
    return _changed(access, batch)


@router.post("/batches/{batch_id}/pause", operation_id="pause_batch", response_model=BatchDocument)
def pause_batch(batch_id: str, access: Granted) -> Document:
    """No call of it starts any more, until it is resumed; what is in flight ends."""
    batch = access.batch(batch_id)
    operations.pause(access.session, access.who, batch=batch)
    return _changed(access, batch)


@router.post("/batches/{batch_id}/cancel", response_model=BatchDocument)
def cancel_batch(batch_id: str, access: Granted, shown: Shown) -> Document:
    """What has not started is canceled, of these rows; what another batch still wants goes on."""
    batch = access.batch(batch_id)
    operations.cancel(access.session, batch, shown)
    return _changed(access, batch)


@router.post("/batches/{batch_id}/retry", response_model=BatchDocument)
def retry_batch(batch_id: str, access: Granted, shown: Shown) -> Document:
    """What failed is queued again with fresh attempts, of these rows."""
    batch = access.batch(batch_id)
    operations.retry(access.session, batch, shown=shown)
    return _changed(access, batch)


def _changed(access: Access, batch: LedgerBatch) -> Document:
    """As it stands after a change, of which a worker in this process hears."""
    access.backend.services.work_arrived()
    return _shown(access, access.session.ledger.batch(batch.batch_id))


def _shown(access: Access, batch: LedgerBatch) -> Document:
    return Document(next(access.session.statuses([batch])))
