"""Batches: submit, look, read, act."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from jobs.batches import operations
from jobs.batches.plan import plan
from jobs.ledger import Batch as LedgerBatch
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError, below_root
from jobs.server.events import list_events, status_events
from jobs.server.responses import Document
from jobs.server.results import comparison_response, results_response
from jobs.server.row_filter import Shown
from jobs.server.shapes import ERRORS, Batch, Batches, Plan, Prices, State, Submitted
from jobs.server.submission import BODY, PLAN_BODY, receive_batch, receive_plan

router = APIRouter(tags=["batches"])

#: Batches on one page of the list.
_PAGE, _MOST = 100, 1000


@router.get("/batches", responses={200: {"model": Batches}, **ERRORS}, response_class=Document)
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
    "/batches",
    status_code=201,
    responses={201: {"model": Submitted}, **ERRORS},
    response_class=Document,
    openapi_extra={"requestBody": BODY},
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


@router.post(
    "/batches/plan",
    responses={200: {"model": Plan}, **ERRORS},
    response_class=Document,
    openapi_extra={"requestBody": PLAN_BODY},
)
async def plan_batch(request: Request, access: Granted) -> Document:
    """What asking about these pictures would take: `chartq submit --dry-run`, and the model. Nothing is kept."""
    order = await receive_plan(request, access)
    planned = await run_in_threadpool(plan, access.session, order, access.backend.prices)
    return Document({**planned.document(), "model": order.source.question.model})


@router.get(
    "/batches/events",
    responses={
        200: {"description": "Events named `batches`, each a list of documents.", "content": {"text/event-stream": {}}},
        **ERRORS,
    },
    response_class=StreamingResponse,
)
async def all_events(access: Granted) -> StreamingResponse:
    """Server-sent events: the newest 100 batches as `{"data": [...]}`, whenever one has changed; it does not end."""
    stream = list_events(access.backend.watcher, access.owner)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.get("/batches/{batch_id}", responses={200: {"model": Batch}, **ERRORS}, response_class=Document)
async def get_batch(batch_id: str, access: Granted) -> Response:
    """Where a batch stands: the document of `chartq status BATCH`, a quarter of a second old at most."""
    return await access.recent("batch", batch_id, lambda: _shown(access, access.batch(batch_id)))


@router.get(
    "/batches/{batch_id}/results",
    responses={
        200: {"description": "The results, in the format asked for.", "content": {"application/x-ndjson": {}}},
        **ERRORS,
    },
    response_class=StreamingResponse,
)
def results(
    batch_id: str,
    access: Granted,
    form: Annotated[str, Query(alias="format", description="jsonl, csv, markdown, html, parquet or openai.")] = "jsonl",
    status: Annotated[State | None, Query(description="Only rows of this state.")] = None,
) -> Response:
    """The results in the order of submission, as `chartq results` has them, streamed."""
    return results_response(access, access.batch(batch_id), form=form, status=status)


@router.get(
    "/batches/{batch_id}/compare",
    responses={
        200: {"description": "Both batches' answers, paired by chart.", "content": {"text/html": {}}},
        **ERRORS,
    },
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


@router.get("/batches/{batch_id}/prices", responses={200: {"model": Prices}, **ERRORS}, response_class=Document)
def prices(batch_id: str, access: Granted) -> Document:
    """What those who may answer take for the batch's model; empty if nobody tells."""
    found = access.backend.prices(access.session.settings, access.batch(batch_id).question)
    return Document({"data": [vars(price) for price in found]})


@router.get(
    "/batches/{batch_id}/events",
    responses={
        200: {"description": "Events named `status`, each the batch's document.", "content": {"text/event-stream": {}}},
        **ERRORS,
    },
    response_class=StreamingResponse,
)
async def events(batch_id: str, access: Granted) -> StreamingResponse:
    """Server-sent events: the batch's document whenever it has changed, at most once a second, until it has ended."""
    batch = await run_in_threadpool(access.batch, batch_id)
    stream = status_events(access.backend.watcher, batch)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _action(name: str, act: Callable[[Access, LedgerBatch], Any], about: str) -> None:
    """A way to act on a batch, answered with its document."""

    def handler(batch_id: str, access: Granted) -> Document:
        batch = access.batch(batch_id)
        act(access, batch)
        access.backend.services.work_arrived()
        return _document(access, batch)

    handler.__doc__ = about
    route = router.post(
        f"/batches/{{batch_id}}/{name}",
        operation_id=f"{name}_batch",
        responses={200: {"model": Batch}, **ERRORS},
        response_class=Document,
    )
    route(handler)


_action(
    "resume",
    lambda access, batch: operations.resume(access.session, {batch.question.lane}, batch),
    "What is on hold opens, one probe first; what Redis has lost is put back on the queue.",
)
_action(
    "pause",
    lambda access, batch: operations.pause(access.session, access.who, batch=batch),
    "No call of it starts any more, until it is resumed; what is in flight ends.",
)


@router.post("/batches/{batch_id}/cancel", responses={200: {"model": Batch}, **ERRORS}, response_class=Document)
def cancel_batch(batch_id: str, access: Granted, shown: Shown) -> Document:
    """What has not started is canceled, of these rows; what another batch still wants goes on."""
    batch = access.batch(batch_id)
    operations.cancel(access.session, batch, shown)
    return _document(access, batch)


@router.post("/batches/{batch_id}/retry", responses={200: {"model": Batch}, **ERRORS}, response_class=Document)
def retry_batch(batch_id: str, access: Granted, shown: Shown) -> Document:
    """What failed is queued again with fresh attempts, of these rows."""
    batch = access.batch(batch_id)
    operations.retry(access.session, batch, shown=shown)
    access.backend.services.work_arrived()
    return _document(access, batch)


def _document(access: Access, batch: LedgerBatch) -> Document:
    """As it stands after a change."""
    return _shown(access, access.session.ledger.batch(batch.batch_id))


def _shown(access: Access, batch: LedgerBatch) -> Document:
    return Document(next(access.session.statuses([batch])))
