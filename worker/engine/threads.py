"""Up to N threads for what they are given. Daemons: a call that hangs must not keep the process from leaving."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

#: A thread's stack: calls and Pillow need little, and a hundred threads at the usual 8 MB look like a leak.
_STACK_BYTES = 1024 * 1024

log = logging.getLogger("chartq.worker")

Work = TypeVar("Work")


class ThreadPool(Generic[Work]):
    """Threads start when they are first needed, at most `size` of them, and live as long as the process.

    Where the system starts no more (`ulimit -u`, `-v`), `size` falls to what there are. Work beyond that waits for the
    first that is free, and can be had back until then.
    """

    def __init__(self, size: int, perform: Callable[[Work], None]) -> None:
        self.size, self._perform = size, perform
        self._threads: list[threading.Thread] = []
        self._waiting: deque[Work] = deque()
        #: One for each work handed in; after a recall there are more.
        self._bell: SimpleQueue[bool] = SimpleQueue()

    def submit(self, work: Work) -> None:
        """Perform `work` in a thread. Raises RuntimeError: not even one thread can be started."""
        if len(self._threads) < self.size:
            try:
                self._start_thread()
            except RuntimeError as error:
                self.size = len(self._threads)
                if not self.size:
                    raise
                log.warning("no more than %d calls at a time: %s", self.size, error)
        self._waiting.append(work)
        self._bell.put(True)

    def waiting(self) -> list[Work]:
        """What no thread has begun, the oldest first. Some of it may be begun by now."""
        return list(self._waiting.copy())

    def recall(self, which: Callable[[Work], bool]) -> list[Work]:
        """What no thread has begun, and none will: the newest first."""
        waiting: list[Work] = []
        with suppress(IndexError):
            while True:
                waiting.append(self._waiting.pop())
        for work in reversed(waiting):
            if not which(work):
                self._waiting.append(work)
                self._bell.put(True)
        return [work for work in waiting if which(work)]

    def close(self) -> None:
        """Let idle threads end."""
        for _ in self._threads:
            self._bell.put(False)

    def _start_thread(self) -> None:
        default_bytes = threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=self._run, name=f"call-{len(self._threads)}", daemon=True)
            thread.start()
        finally:
            threading.stack_size(default_bytes)
        self._threads.append(thread)

    def _run(self) -> None:
        while self._bell.get():
            try:
                work = self._waiting.popleft()
            except IndexError:
                continue  # it was recalled
            self._perform(work)
