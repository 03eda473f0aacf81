"""Redis and the results store, and how they are taken away for a while."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from redis import Redis
from support.postgres import PostgresServer

from jobs.broker.file_lock import is_locked
from jobs.broker.server_process import RedisServer

_PATIENCE_S = 30.0


class RedisUnderFire:
    """A server of the run's own, with chartq's own options: an append-only file, written every second."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self._server = RedisServer(folder)
        self._socket = self._server.start()
        self.url = f"unix://{self._socket}"

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        until(lambda: not is_locked(self.folder / "server.lock"))

    def start(self) -> None:
        """Again, with the data that it has."""
        if not is_locked(self.folder / "server.lock"):
            self._server.start()

    def flush(self) -> None:
        with closing(self.client()) as client:
            client.flushall()

    @property
    def is_claimed(self) -> bool:
        """Some project has said that it is theirs."""
        with closing(self.client()) as client:
            return bool(client.exists("chartq:claim"))

    def jobs_among(self, ids: Iterable[str]) -> int:
        """How many of these it has."""
        with closing(self.client()) as client:
            return int(client.exists(*(f"rq:job:{id_}" for id_ in ids)))

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def used_bytes(self) -> int:
        with closing(self.client()) as client:
            return int(client.info("memory")["used_memory"])

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self._socket), socket_timeout=_PATIENCE_S)

    def stop(self) -> None:
        self.start()
        self.go_on()
        self._server.stop()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(int((self.folder / "redis.pid").read_text()), number)


class Store(Protocol):
    """A results store that can be taken away."""

    #: As the workers and commands get it.
    url: str
    #: Where its data lies.
    folder: Path

    def take_away(self) -> None:
        """Raises TimeoutError if somebody else has just taken it."""

    def give_back(self) -> None: ...

    def stop(self) -> None: ...


class SqliteStore:
    """A file; somebody else locks it. Waiting for two seconds counts as locked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self._path = folder / "results.sqlite"
        self.url = f"sqlite:///{self._path}?timeout=2"
        self._locker: sqlite3.Connection | None = None

    def take_away(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=1)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            raise TimeoutError(f"{self._path} is locked already") from error
        self._locker = connection

    def give_back(self) -> None:
        if self._locker is not None:
            self._locker.execute("ROLLBACK")
            self._locker.close()
            self._locker = None

    def stop(self) -> None:
        self.give_back()


class PostgresStore:
    """A server; it is shut down, its clients are cut off."""

    def __init__(self) -> None:
        self._server = PostgresServer()
        self.folder = self._server.folder
        self._server.start()
        self.url = self._server.new_database()

    def take_away(self) -> None:
        self._server.stop(signal.SIGINT)

    def give_back(self) -> None:
        if not self._server.runs:
            self._server.start()

    def stop(self) -> None:
        self._server.stop(signal.SIGINT)


def until(what: Callable[[], bool], within_s: float = _PATIENCE_S) -> None:
    """Wait; raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {within_s:.0f} s")
        time.sleep(0.02)
