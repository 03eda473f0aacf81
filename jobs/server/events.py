"""Server-sent events: documents as they change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from jobs.batches.shapes import ENDED_BATCH
from jobs.core.text import dumps
from jobs.ledger import Batch
from jobs.server.watcher import Watcher

#: Seconds without news after which a comment keeps proxies from ending the stream, and we learn who has left.
_QUIET_S = 15.0
_NOTHING_NEW = b": nothing new\n\n"


async def list_events(watcher: Watcher, owner: str) -> AsyncIterator[bytes]:
    """`event: batches` with the newest batches' documents at first and whenever one has changed."""
    with watcher.listen(owner) as news:
        async for documents, changed in _heard(watcher, news):
            yield _event("batches", {"data": documents}) if changed else _NOTHING_NEW


async def status_events(watcher: Watcher, batch: Batch) -> AsyncIterator[bytes]:
    """`event: status` with the batch's document at first and whenever it has changed, until it has ended or is gone."""
    with watcher.listen(batch) as news:
        async for document, changed in _heard(watcher, news):
            if document is None:
                return
            yield _event("status", document) if changed else _NOTHING_NEW
            if document and document["status"] in ENDED_BATCH:
                return


async def _heard(watcher: Watcher, news: "asyncio.Queue[Any]") -> AsyncIterator[tuple[Any, bool]]:
    """What was told last, and whether that is another than before; also if nothing is told for a while."""
    last: Any = ()
    while not watcher.is_leaving:
        told = last
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIET_S):
                told = await news.get()
        yield told, told != last
        last = told


def _event(name: str, document: Any) -> bytes:
    return f"event: {name}\ndata: {dumps(document)}\n\n".encode()
