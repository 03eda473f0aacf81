"""What many ask for again and again is read once for all who ask within the same moment."""

import asyncio
import time
from collections.abc import Callable, Hashable

from fastapi.concurrency import run_in_threadpool

#: Seconds for which a document is shown again; what is changed here is seen at once.
_FRESH_S = 0.25

#: Documents that are kept.
_KEPT = 1000


class Recent:
    """Answers, by what was asked. Used on the event loop only."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, asyncio.Future[bytes]]] = {}

    async def get(self, asked: Hashable, read: Callable[[], bytes]) -> bytes:
        """The answer of `read`, which runs in a thread unless it did a moment ago. Raises what it raises."""
        fresh_until, answer = self._kept.get(asked, (0.0, None))
        if answer is None or time.monotonic() >= fresh_until:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            answer = asyncio.ensure_future(run_in_threadpool(read))
            self._kept[asked] = (time.monotonic() + _FRESH_S, answer)
        try:
            return await asyncio.shield(answer)
        except Exception:
            if self._kept.get(asked, (0.0, None))[1] is answer:
                del self._kept[asked]
            raise

    def forget(self) -> None:
        """Something has been changed."""
        self._kept.clear()
