"""What many ask for at one moment is read once: twenty open pages hear of a change, and all look at the same rows."""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future

#: Bytes of answers that are kept.
_KEPT_BYTES = 8_000_000


class Together:
    """Safe for threads."""

    def __init__(self, *, kept_s: float = 1.5) -> None:
        """`kept_s`: how long an answer serves others. Events come once a second: what has changed, and then changed
        back, is asked again after two."""
        self.kept_s = kept_s
        self._lock = threading.Lock()
        #: Until when (monotonic) each serves; the oldest first.
        self._answers: dict[Hashable, tuple[float, Future[bytes]]] = {}

    def answer(self, asked: Hashable, read: Callable[[], bytes]) -> bytes:
        """What `read` gives, or gave another who asked the same just before. Raises what `read` raises."""
        with self._lock:
            self._forget()
            known = self._answers.get(asked)
            mine: Future[bytes] = Future()
            if known is None:
                self._answers[asked] = (time.monotonic() + self.kept_s, mine)
        if known is not None:
            return known[1].result()
        try:
            body = read()
        except BaseException as error:  # those who wait get it as well
            with self._lock:
                self._answers.pop(asked, None)
            mine.set_exception(error)
            raise
        mine.set_result(body)
        return body

    def _forget(self) -> None:
        now = time.monotonic()
        kept_bytes = sum(len(one.result()) for _, one in self._answers.values() if one.done())
        for asked, (until, one) in list(self._answers.items()):
            if one.done() and (now >= until or kept_bytes > _KEPT_BYTES):
                kept_bytes -= len(one.result())
                del self._answers[asked]
