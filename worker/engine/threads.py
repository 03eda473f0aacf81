"""Up to N threads that run what they are given. Daemons: a call that hangs must not keep the process from leaving."""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

#: A thread's stack: calls and Pillow need little, and a hundred threads at the usual 8 MB look like a leak.
_STACK_BYTES = 1024 * 1024

log = logging.getLogger("chartq.worker")

Work = Callable[[], None]


class ThreadPool:
    """Threads start when they are first needed, at most `size` of them, and live as long as the process.

    Where the system starts no more (`ulimit -u`, `-v`), `size` falls to what there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[Work | None] = SimpleQueue()

    def submit(self, work: Work) -> None:
        """Run `work` in a thread. The caller never hands in more than `size` at a time.

        Raises RuntimeError: not even one thread can be started.
        """
        if len(self._threads) < self.size:
            try:
                self._start_thread()
            except RuntimeError as error:
                self.size = len(self._threads)
                if not self.size:
                    raise
                log.warning("no more than %d calls at a time: %s", self.size, error)
        self._work.put(work)

    def close(self) -> None:
        """Let idle threads end."""
        for _ in self._threads:
            self._work.put(None)

    def _start_thread(self) -> None:
        default_bytes = threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=self._run, name=f"call-{len(self._threads)}", daemon=True)
            thread.start()
        finally:
            threading.stack_size(default_bytes)
        self._threads.append(thread)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
