"""One deadline for a whole call, whatever the server does with it.

Socket timeouts bound the silence between two bytes; a server that drips one byte a second outlasts any of
them. So one thread per transport watches the calls in flight and shuts down the socket of one that is
overdue, which wakes the thread that is blocked on it. It starts with a call and ends when it has been idle.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

#: Seconds without a call after which the watching thread ends; the next call starts another.
_IDLE_S = 5.0

#: The watching thread woke so much later than it asked to (seconds): the whole process stood still (SIGSTOP, a paused
#: container or machine), or was starved.
_STOOD_STILL_S = 1.0

#: Least socket timeout in seconds: 0 would mean non-blocking.
_LEAST_TIMEOUT_S = 0.001


class Guard:
    """A duplicate of a connection's socket, by which another thread can end its conversation.

    A duplicate, since TLS takes the original's file descriptor away, and since shutting down a descriptor
    that its owner has closed might hit somebody else's new socket. Held by the connection, and by the call:
    http.client closes a connection that won't be reused as soon as the headers are in, the body still to come.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = sock.dup()
        self._holders = 1

    def hold(self) -> None:
        with self._lock:
            self._holders += 1

    def cut(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0 and self._sock is not None:
                self._sock.close()
                self._sock = None


class Call:
    """One HTTP call in flight: its deadline, and what its connection reports about it."""

    def __init__(self, timeout_s: float, name: str | None = None) -> None:
        #: What `Watchdog.cut` knows it by.
        self.name = name
        self.started = time.monotonic()
        self.deadline = self.started + timeout_s
        self._timeout_s = timeout_s
        self._has_stood_still = False
        #: Refuse pooled connections: the last one was stale.
        self.fresh = False
        #: True as soon as there is a TCP connection, to the server or to its proxy.
        self.connected = False
        #: The connection had served an earlier call.
        self.reused = False
        #: Bytes of the reply, as they came over the wire.
        self.received = 0
        #: The reply was longer on the wire than is read.
        self.too_long = False
        self.overdue = False
        self._guard: Guard | None = None
        self._lock = threading.Lock()

    def remaining_s(self) -> float:
        """Seconds left, never less than a socket timeout may be."""
        return max(self.deadline - time.monotonic(), _LEAST_TIMEOUT_S)

    @property
    def is_over(self) -> bool:
        return self.overdue or time.monotonic() >= self.deadline

    def stood_still(self, now: float) -> None:
        """Called by the watching thread when the process had not run for a while: the time counts anew, once.

        What came meanwhile lies in the socket, paid for; what was about to be sent goes out only now.
        """
        if not self._has_stood_still:
            self._has_stood_still, self.deadline = True, now + self._timeout_s

    def attach(self, guard: Guard, *, reused: bool) -> None:
        """Called by the connection that carries the call."""
        self.end()
        guard.hold()
        with self._lock:
            self._guard, self.connected, self.reused = guard, True, reused
            if self.overdue:
                guard.cut()

    def expire(self) -> None:
        """Called by the watching thread at the deadline."""
        with self._lock:
            self.overdue = True
            if self._guard is not None:
                self._guard.cut()

    def end(self) -> None:
        """The connection is free for others: from here on this call can't cut it."""
        with self._lock:
            guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()


class Watchdog:
    """Expires the calls that are overdue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._next_wake = float("inf")
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, call: Call) -> Iterator[Call]:
        """Watches `call` until the block ends."""
        self._add(call)
        try:
            yield call
        finally:
            with self._changed:
                self._calls.discard(call)
            call.end()

    def cut(self, name: str) -> bool:
        """End the call of this name as if its time were up. False if there is none."""
        with self._changed:
            found = [call for call in self._calls if call.name == name]
        for call in found:
            call.expire()
        return bool(found)

    def _add(self, call: Call) -> None:
        with self._changed:
            self._calls.add(call)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="hf-deadlines", daemon=True)
                self._thread.start()
            elif call.deadline < self._next_wake:
                self._changed.notify()

    def _watch(self) -> None:
        while (overdue := self._overdue_calls()) is not None:
            for call in overdue:
                call.expire()

    def _overdue_calls(self) -> list[Call] | None:
        """Waits for the next deadline; None when there was nothing to watch for a while."""
        with self._changed:
            idle = not self._calls
            first = min((call.deadline for call in self._calls), default=time.monotonic() + _IDLE_S)
            self._next_wake = first
            began = time.monotonic()
            self._changed.wait(max(first - began, 0.0))
            now = time.monotonic()
            if now - max(first, began) > _STOOD_STILL_S:
                for call in self._calls:
                    call.stood_still(now)
            overdue = [call for call in self._calls if call.deadline <= now]
            self._calls.difference_update(overdue)
            if idle and not self._calls and not overdue and now >= first:
                self._thread = None
                return None
            return overdue
