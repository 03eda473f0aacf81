"""What many ask for again and again is read once for all who ask within the same moment."""

import asyncio
import time
from collections.abc import Callable, Hashable

from fastapi.concurrency import run_in_threadpool

#: Seconds for which a document is shown again; what is changed through this server is seen at once.
FRESH_S = 0.25

#: Answers that are kept, and their bytes: enough for the pages and programs that look at the same things.
_KEPT, _KEPT_BYTES = 1000, 8_000_000


class Recent:
    """Answers, by what was asked. Used on the event loop only."""

    def __init__(self) -> None:
        #: Until when (monotonic) each serves; the oldest first.
        self._kept: dict[Hashable, tuple[float, asyncio.Future[bytes]]] = {}

    async def get(self, asked: Hashable, read: Callable[[], bytes], *, fresh_s: float | None = None) -> bytes:
        """The answer of `read`, which runs in a thread unless it did a moment ago (FRESH_S). Raises what it raises."""
        fresh_until, answer = self._kept.get(asked, (0.0, None))
        if answer is None or time.monotonic() >= fresh_until:
            self._make_room()
            answer = asyncio.ensure_future(run_in_threadpool(read))
            self._kept[asked] = (time.monotonic() + (FRESH_S if fresh_s is None else fresh_s), answer)
        try:
            return await asyncio.shield(answer)
        except Exception:
            if self._kept.get(asked, (0.0, None))[1] is answer:
                del self._kept[asked]
            raise

    def forget(self) -> None:
        """Something has been changed."""
        self._kept.clear()

    def _make_room(self) -> None:
        """For one more: those that are no longer fresh go, and if these are too few the oldest."""
        now = time.monotonic()
        sizes = {asked: _size(answer) for asked, (_, answer) in self._kept.items()}
        room = _KEPT_BYTES - sum(sizes.values())
        for asked, (fresh_until, _) in list(self._kept.items()):
            if now >= fresh_until or room < 0 or len(self._kept) >= _KEPT:
                room += sizes[asked]
                del self._kept[asked]


def _size(answer: "asyncio.Future[bytes]") -> int:
    is_there = answer.done() and not answer.cancelled() and answer.exception() is None
    return len(answer.result()) if is_there else 0
