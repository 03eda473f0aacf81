"""The heartbeat: every few seconds, one call that keeps this worker and all it has in flight alive in Redis."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from redis.exceptions import RedisError

from worker.desk import HEARTBEAT_S, Beat, Claim, Desk

log = logging.getLogger("chartq.worker")

#: Seconds until a failed heartbeat is tried again: well within the lease.
_RETRY_S = 1.0


class Shown(Protocol):
    """Who is kept alive."""

    def show_alive(self, queue_keys: Sequence[str]) -> None: ...


class Heart:
    """Beats in a thread of its own; nothing else may hold it up."""

    def __init__(self, worker: Shown, desk: Desk, in_flight: Callable[[], list[Claim]]) -> None:
        self._worker, self._desk, self._in_flight = worker, desk, in_flight
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._steady_since = self._last = time.monotonic()
        self._known_since_ms: int | None = None
        #: Set when Redis turned out to have forgotten everything; the janitor clears it.
        self.redis_is_new = threading.Event()

    def first_beat(self) -> None:
        """Before any job is taken: publish our limits, learn the others'. Raises RedisError."""
        self._note(self._desk.beat([]))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def steady_for_s(self) -> float:
        """Since when no heartbeat was missed, in seconds. 0 after a freeze, or while Redis is away.

        Until two heartbeats have gone through, a worker's silence may be Redis's or our own fault.
        """
        now = time.monotonic()
        return 0.0 if now - self._last > 2 * HEARTBEAT_S else now - self._steady_since

    def _run(self) -> None:
        wait_s = HEARTBEAT_S
        while not self._stopping.wait(wait_s):
            try:
                beat = self._desk.beat(self._in_flight())
                self._note(beat)
                self._worker.show_alive(beat.queues)
                wait_s = HEARTBEAT_S
            except (RedisError, OSError) as error:
                log.debug("heartbeat: %s", error)
                wait_s = _RETRY_S

    def _note(self, beat: Beat) -> None:
        now = time.monotonic()
        if now - self._last > 2 * HEARTBEAT_S:
            self._steady_since = now
        self._last = now
        if beat.known_since_ms != self._known_since_ms:
            self._known_since_ms = beat.known_since_ms
            self.redis_is_new.set()
