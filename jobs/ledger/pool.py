"""A few connections that threads take turns with. The one used last is taken first; idle ones stay open."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from jobs.ledger.errors import PoolExhaustedError


def rest(worked_s: float) -> None:
    """After a piece of work in the background: twice as long for those who wait for the store."""
    time.sleep(2 * worked_s)


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """At most `size` connections; who finds none free waits, `wait_s` at most."""

    def __init__(self, connect: Callable[[], C], *, is_sound: Callable[[C], bool], size: int, wait_s: float) -> None:
        """`is_sound`: whether a connection whose transaction failed can begin another."""
        self._connect, self._is_sound, self._size, self._wait_s = connect, is_sound, size, wait_s
        self._free = threading.BoundedSemaphore(size)
        self._idle: list[C] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[tuple[C, bool]]:
        """A connection, and whether it was used before. Raises PoolExhaustedError, and what `connect` raises."""
        if not self._free.acquire(timeout=self._wait_s):
            raise PoolExhaustedError(f"all {self._size} connections have been busy for {self._wait_s:.0f} s")
        try:
            connection, used = self._taken()
            try:
                yield connection, used
            finally:
                if self._closed or not self._is_sound(connection):
                    connection.close()
                else:
                    self._idle.append(connection)
        finally:
            self._free.release()

    def forget(self) -> None:
        """Close what is idle: the server is not the one that it was."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.close()

    def close(self) -> None:
        self._closed = True
        self.forget()

    def _taken(self) -> tuple[C, bool]:
        try:
            return self._idle.pop(), True
        except IndexError:
            return self._connect(), False
