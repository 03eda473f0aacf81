"""A batch's rows, some at a time, and its failures by kind: what a page shows."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from jobs.batches.failures import failure_kinds
from jobs.server.access import Granted
from jobs.server.responses import Document
from jobs.server.row_filter import Shown
from jobs.server.shapes import Failures, Rows

router = APIRouter(tags=["batches"])

#: Events come once a second: what has changed, and then changed back, is asked again after two.
_SEEN_FRESH_S = 1.5


@router.get("/batches/{batch_id}/rows", response_model=Rows)
async def rows(
    batch_id: str,
    access: Granted,
    only: Shown,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    seen: Annotated[str, Query(max_length=200, description="The counts that were told.")] = "",
) -> Response:
    """Some rows in the order of submission, without the raw replies, and how many fit in all.

    Who says to have `seen` the same is answered together: it is read once, and not before that was told.
    """

    def read() -> bytes:
        data, total = access.session.window(access.batch(batch_id), only, offset=offset, limit=limit)
        return bytes(Document({"data": [{**row, "raw": None} for row in data], "offset": offset, "total": total}).body)

    if not seen:
        body = await run_in_threadpool(read)
    else:
        asked = ("rows", access.owner, batch_id, only, offset, limit, seen)
        body = await access.backend.recent.get(asked, read, fresh_s=_SEEN_FRESH_S)
    return Response(body, media_type="application/json")


@router.get("/batches/{batch_id}/errors", response_model=Failures)
def errors(batch_id: str, access: Granted) -> Document:
    """What went wrong, by kind, the most frequent first: `chartq errors`."""
    kinds = failure_kinds(access.session.ledger.failures(access.batch(batch_id)))
    return Document({"data": [kind.document() for kind in kinds]})
