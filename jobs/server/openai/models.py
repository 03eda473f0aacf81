"""`/v1/models`: what may be asked."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from jobs.core.job import model_of
from jobs.server.access import Access, Granted
from jobs.server.errors import not_found
from jobs.server.openai.shapes import Model, Models
from jobs.server.responses import Document

router = APIRouter(tags=["openai"])


@router.get("/v1/models", operation_id="list_models", response_model=Models)
async def list_models(access: Granted) -> Document:
    """What the provider serves, what this server asks by default, and what was asked before."""
    return Document({"object": "list", "data": [_document(name) for name in await run_in_threadpool(_ids, access)]})


@router.get("/v1/models/{model:path}", operation_id="get_model", response_model=Model)
async def get_model(model: str, access: Granted) -> Document:
    """One of them."""
    if model not in await run_in_threadpool(_ids, access):
        raise not_found(f"no model {model!r}; GET /v1/models lists all that are known")
    return Document(_document(model))


def _ids(access: Access) -> list[str]:
    settings = access.session.settings
    asked = sorted(model_of(lane) for lane in access.lanes())
    every = [settings.vision_model, settings.reasoning_model, *access.backend.provider.models(), *asked]
    return [name for name in dict.fromkeys(every) if name]


def _document(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]}
