"""A batch's rows, some at a time, and its failures by kind: what a page shows."""

from typing import Annotated

from fastapi import APIRouter, Query

from jobs.batches.failures import failure_kinds
from jobs.ledger import RowFilter
from jobs.server.access import Granted
from jobs.server.models import ERRORS, Failures, Rows, State
from jobs.server.responses import Document

router = APIRouter(tags=["batches"])


@router.get("/batches/{batch_id}/rows", responses={200: {"model": Rows}, **ERRORS}, response_class=Document)
def rows(
    batch_id: str,
    access: Granted,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    status: Annotated[State | None, Query(description="Only rows of this state.")] = None,
    error: Annotated[str, Query(max_length=200, description="Only failures of this type.")] = "",
    q: Annotated[str, Query(max_length=200, description="Stands in the name or the answer.")] = "",
    field: Annotated[str, Query(max_length=200, description="Only structured answers that have this field,")] = "",
    value: Annotated[str, Query(max_length=200, description="with this value.")] = "",
) -> Document:
    """Some rows in the order of submission, without the raw replies, and how many fit in all."""
    error, words, field, value = (text.replace("\0", "") for text in (error, q, field, value))
    only = RowFilter(status=status or "", error=error, words=words, field=field, value=value)
    data, total = access.session.window(access.batch(batch_id), only, offset=offset, limit=limit)
    return Document({"data": [{**row, "raw": None} for row in data], "offset": offset, "total": total})


@router.get("/batches/{batch_id}/errors", responses={200: {"model": Failures}, **ERRORS}, response_class=Document)
def errors(batch_id: str, access: Granted) -> Document:
    """What went wrong, by kind, the most frequent first: `chartq errors`."""
    kinds = failure_kinds(access.session.ledger.failures(access.batch(batch_id)))
    return Document({"data": [kind.document() for kind in kinds]})
