"""Server-sent events: a batch's document as it changes, until it has ended."""

import asyncio
from collections.abc import AsyncIterator

from jobs.core.text import dumps
from jobs.ledger import Batch
from jobs.server.watcher import Watcher

_ENDED = ("completed", "completed_with_errors", "canceled")

#: Seconds without news after which a comment keeps proxies from ending the stream, and we learn who has left.
_QUIET_S = 15.0


async def list_events(watcher: Watcher, owner: str) -> AsyncIterator[bytes]:
    """`event: batches` with the newest batches' documents at first and whenever one has changed."""
    last = ""
    with watcher.batches(owner) as news:
        while not watcher.is_leaving:
            try:
                async with asyncio.timeout(_QUIET_S):
                    text = dumps({"data": await news.get()})
            except TimeoutError:
                yield b": nothing new\n\n"
                continue
            if text != last:
                last = text
                yield f"event: batches\ndata: {text}\n\n".encode()
            else:
                yield b": the same\n\n"  # so we learn who has left


async def status_events(watcher: Watcher, batch: Batch) -> AsyncIterator[bytes]:
    """`event: status` with the batch's document at first and whenever it has changed, at most one a second."""
    last = ""
    with watcher.batch(batch) as news:
        while not watcher.is_leaving:
            try:
                async with asyncio.timeout(_QUIET_S):
                    document = await news.get()
            except TimeoutError:
                yield b": nothing new\n\n"
                continue
            if document is None:
                return
            text = dumps(document)
            if text != last:
                last = text
                yield f"event: status\ndata: {text}\n\n".encode()
            if document["status"] in _ENDED:
                return
