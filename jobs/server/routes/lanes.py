"""The lanes."""

from fastapi import APIRouter

from jobs.batches.lanes import lane_documents
from jobs.server.access import Granted
from jobs.server.models import ERRORS, Lanes
from jobs.server.responses import Document

router = APIRouter(tags=["lanes"])


@router.get("/lanes", responses={200: {"model": Lanes}, **ERRORS}, response_class=Document)
def lanes(access: Granted) -> Document:
    """May each lane be called now, and if not, until when and why? The documents of `chartq lanes`."""
    return Document({"data": lane_documents(access.session)})
