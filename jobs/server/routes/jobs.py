"""One job: where it stands, and its chart."""

import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from jobs.batches.documents import job_document
from jobs.charts.storage import read_chart
from jobs.core.errors import ImageError
from jobs.core.places import is_url, split_pictures
from jobs.formats.thumbnails import shrunk_webp
from jobs.ledger import JobRow
from jobs.server.access import Access, Granted
from jobs.server.errors import not_found
from jobs.server.responses import Document
from jobs.server.shapes import JobDocument

router = APIRouter(tags=["jobs"])

#: Pixels that a picture fits into, and WebP's quality.
_SIZES = {"small": ((432, 288), 58), "large": ((1600, 1200), 82)}

#: A job's id is its picture's too: what was fetched stays right. Private: it needed a key.
_HEADERS = {"cache-control": "private, max-age=600"}


@router.get("/jobs/{job_id}", response_model=JobDocument)
def job(job_id: str, access: Granted) -> Document:
    """Where a job stands, and its answer: the document of `chartq status JOB`."""
    return Document(job_document(access.job(job_id)))


@router.get(
    "/jobs/{job_id}/picture",
    responses={200: {"description": "The chart.", "content": {"image/webp": {}}}},
    response_class=Response,
)
def picture(
    job_id: str,
    access: Granted,
    size: Literal["small", "large"] = "small",
    number: Annotated[int, Query(ge=0, le=1000, description="Which one, of several.")] = 0,
) -> Response:
    """The chart of a job as WebP, at most 432 x 288 or 1600 x 1200 pixels; 404 if it is gone, or another one now.

    Made anew by Pillow: what was submitted is nobody's to run.
    """
    box, quality = _SIZES[size]
    try:
        webp, _, _ = shrunk_webp(_chart(access, access.job(job_id), number), box, quality=quality)
    except ImageError as error:
        raise not_found(f"no picture: {error}") from error
    return Response(webp, media_type="image/webp", headers=_HEADERS)


def _chart(access: Access, job: JobRow, number: int) -> bytes:
    """Raises ImageError, ApiError."""
    places, hashes = split_pictures(job.shown.image), job.image_sha256.split(",")
    if number >= len(places):
        raise not_found("no picture: the question has none of this number")
    if is_url(places[number]):
        raise not_found("no picture: the provider fetched it itself")
    data = read_chart(places[number], access.session.settings.chart_root, access.session.ledger.picture)
    if hashlib.sha256(data).hexdigest() not in hashes:
        raise not_found("no picture: the file has changed since it was asked about")
    return data
