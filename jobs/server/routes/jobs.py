"""One job."""

from fastapi import APIRouter

from jobs.batches.documents import job_document
from jobs.server.access import Granted
from jobs.server.responses import Document
from jobs.server.shapes import ERRORS, Job

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job_id}", responses={200: {"model": Job}, **ERRORS}, response_class=Document)
def job(job_id: str, access: Granted) -> Document:
    """Where a job stands, and its answer: the document of `chartq status JOB`."""
    return Document(job_document(access.job(job_id)))
