"""The lanes."""

from typing import Annotated

from fastapi import APIRouter, Query

from jobs.batches import operations
from jobs.batches.lanes import lane_documents
from jobs.core.errors import InputError, SettingsError
from jobs.core.job import model_of
from jobs.core.rates import RateLimits
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError, not_found
from jobs.server.responses import Document
from jobs.server.shapes import Lanes

router = APIRouter(tags=["lanes"])


@router.get("/lanes", response_model=Lanes)
def lanes(access: Granted) -> Document:
    """May each lane be called now, and if not, until when and why? The documents of `chartq lanes`.

    A key sees those that it has asked.
    """
    documents = lane_documents(access.session)
    if access.owner:
        own = access.lanes()
        documents = [document for document in documents if document["lane"] in own]
    return Document({"data": documents})


_Model = Annotated[str, Query(min_length=1, max_length=300, description="The lanes of this model.")]


@router.post("/lanes/pause", response_model=Lanes)
def pause_lane(access: Granted, model: _Model) -> Document:
    """No call for the model starts any more, whoever asks, until it is resumed: `chartq pause MODEL`."""
    operations.pause(access.session, access.who, model=_known(access, model))
    return lanes(access)


@router.post("/lanes/resume", response_model=Lanes)
def resume_lane(access: Granted, model: _Model) -> Document:
    """The model's lanes open, one probe first, and its pause ends: `chartq resume MODEL`."""
    _known(access, model)
    operations.resume(access.session, {lane for lane in _lanes(access) if model_of(lane) == model})
    access.backend.services.work_arrived()
    return lanes(access)


@router.post("/lanes/limit", response_model=Lanes)
def limit_lane(
    access: Granted,
    model: _Model,
    rate: Annotated[str, Query(max_length=200, description='As in `30/m`; "none": no budget of its own.')] = "none",
    concurrency: Annotated[int | None, Query(ge=1, le=10_000, description="Most calls in flight.")] = None,
) -> Document:
    """The model's budget for all workers, beside their own: `chartq limit MODEL RATE`."""
    _known(access, model)
    try:
        budget = None if rate == "none" else RateLimits.parse(rate)
    except (InputError, SettingsError, ValueError) as error:
        raise ApiError(400, f"rate: {error}", param="rate") from None
    operations.limit(access.session, access.who, model, rate=budget, concurrency=concurrency)
    return lanes(access)


def _known(access: Access, model: str) -> str:
    """The model, if there is a lane of it. Raises ApiError: a lane is everybody's, so no single key acts on it."""
    if access.owner:
        raise ApiError(403, "lanes are every key's: use `chartq pause`, `resume` or `limit`", type_="permission_error")
    if model not in map(model_of, _lanes(access)):
        raise not_found(f"no lane of a model {model[:100]!r}")
    return model


def _lanes(access: Access) -> list[str]:
    return [document["lane"] for document in lane_documents(access.session)]
