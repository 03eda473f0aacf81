"""The heartbeat: every few seconds, one call that keeps this worker and all it has in flight alive in Redis."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from worker.engine.exchange import HeartbeatReply, Lease
from worker.engine.lane_client import LaneClient

log = logging.getLogger("chartq.worker")

#: Seconds until a failed heartbeat is tried again: well within the lease.
_RETRY_S = 1.0


class Heartbeat:
    """Beats in a thread of its own; nothing else may hold it up. `show_alive` is told the queues at every beat."""

    def __init__(
        self, show_alive: Callable[[Sequence[str]], None], lane_client: LaneClient, in_flight: Callable[[], list[Lease]]
    ) -> None:
        self._show_alive, self._lane_client, self._in_flight = show_alive, lane_client, in_flight
        self._interval_s = lane_client.timing.interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._steady_since = self._last = time.monotonic()
        self._redis_ahead_s = lane_client.redis_ahead_s
        self._known_since_ms: int | None = None
        #: Set when Redis turned out to have forgotten everything; maintenance clears it.
        self.redis_is_new = threading.Event()

    def first(self) -> None:
        """Before any job is taken: publish our limits, learn the others'. Raises RedisError."""
        self._note(self._lane_client.heartbeat([]))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait a moment for a heartbeat that is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    @property
    def is_steady(self) -> bool:
        """Whether no heartbeat was missed for as long as two take. Not so after a freeze, or while Redis is away.

        Until then another worker's silence may be Redis's or our own fault. Nor after Redis's clock, by which it tells
        who is silent, has jumped by a heartbeat (a lease lasts for three): it was set, or the machine slept, which the
        steady clock doesn't see.
        """
        now, two_beats_s = time.monotonic(), 2 * self._interval_s
        redis_ahead_s = self._lane_client.redis_ahead_s
        if abs(redis_ahead_s - self._redis_ahead_s) > self._interval_s:
            self._redis_ahead_s, self._steady_since = redis_ahead_s, now
        return now - self._last <= two_beats_s and now - self._steady_since >= two_beats_s

    def _run(self) -> None:
        wait_s = self._interval_s
        while not self._stopping.wait(wait_s):
            try:
                reply = self._lane_client.heartbeat(self._in_flight())
                self._note(reply)
                self._show_alive(reply.queues)
                wait_s = self._interval_s
            except (RedisError, OSError) as error:
                log.debug("heartbeat: %s", error)
                wait_s = _RETRY_S
            except Exception:  # a heartbeat that stopped unseen would cost every lease of a healthy worker
                if self._stopping.is_set():
                    return  # the connection was closed under a heartbeat that took too long
                log.exception("heartbeat: a fault in chartq, please report it")
                wait_s = _RETRY_S

    def _note(self, reply: HeartbeatReply) -> None:
        now = time.monotonic()
        if now - self._last > 2 * self._interval_s:
            self._steady_since = now
        self._last = now
        if reply.known_since_ms != self._known_since_ms:
            self._known_since_ms = reply.known_since_ms
            self.redis_is_new.set()
