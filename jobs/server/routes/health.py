"""May work be sent here, and by whom?"""

from fastapi import APIRouter
from redis.exceptions import RedisError

from jobs.batches.session import Session
from jobs.core.errors import ChartqError
from jobs.server.access import Granted
from jobs.server.responses import Document
from jobs.server.shapes import Health, Key

router = APIRouter(tags=["health"])


@router.get("/health", response_model=Health)
def health(access: Granted) -> Document:
    """200 while Redis and the store answer; needs no key."""
    try:
        _check(access.session)
    except (ChartqError, RedisError) as error:
        access.backend.revive_redis(error)
        raise
    access.backend.trouble.end()
    return Document({"status": "ok"})


@router.get("/key", response_model=Key)
def key(access: Granted) -> Document:
    """Whose key came with the request, and what it may: a page shows no button that would be refused."""
    caller = access.caller
    return Document({"name": caller.name or None, "read_only": caller.read_only, "lanes": not caller.name})


def _check(session: Session) -> None:
    session.ledger.lanes()
    session.pair.check()
