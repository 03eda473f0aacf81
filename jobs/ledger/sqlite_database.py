"""SQLite as a results store: one file, readers and a writer side by side."""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.core.errors import StoreError
from jobs.ledger.errors import StoreGoneError
from jobs.ledger.pool import Pool, rest
from jobs.ledger.statements import Dialect
from jobs.ledger.store_url import StoreUrl

#: Seconds that a writer waits for the others before the store counts as locked.
LOCK_WAIT_S = 60

_CONNECTIONS = 4

#: Pages given back to the system in one transaction.
_FREED_PAGES = 200


class SqliteDatabase:
    dialect: Dialect = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, url: StoreUrl) -> None:
        if url.path is None:
            raise AssertionError("an SQLite store has a file")
        self._path = url.path
        self._timeout_s = LOCK_WAIT_S if url.timeout_s is None else url.timeout_s
        self._pool: Pool[sqlite3.Connection] = Pool(
            self._connect, is_sound=lambda one: not one.in_transaction, size=_CONNECTIONS, wait_s=LOCK_WAIT_S
        )
        self._file: tuple[int, int] | None = None
        # Threads of one process queue up here instead of polling SQLite's lock against each other.
        self._writing = threading.Lock()

    def create(self) -> None:
        """The file, readable by its owner only; SQLite gives its -wal and -shm the same mode."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A file that is there is not opened: closing a descriptor drops all locks that this process has on it, and
            # another process that leaves would take the write-ahead log away under us.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreError(f"results store {self._path} can't be opened: {error.strerror}") from error
        self._switch_to_wal()
        self._file = _identity(self._path)

    def _check_place(self) -> None:
        """SQLite goes on writing to a file that was removed, and everything would be lost with the process."""
        if self._file is not None and _identity(self._path) != self._file:
            raise StoreGoneError(
                f"results store {self._path} was removed or replaced while it was in use: nothing that is written now "
                "would be kept. Put it back, or leave its place, CHARTQ_HOME, alone, and run the same command again"
            )

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        """A transaction. One that reads first and writes later can't wait for its turn; one that says so can."""
        if writes:
            self._check_place()
            with self._writing, self._begun("BEGIN IMMEDIATE") as connection:
                yield connection
        else:
            with self._begun("BEGIN") as connection:
                yield connection

    def renew_statistics(self) -> None:
        """SQLite's plans don't depend on them here."""

    def give_room_back(self) -> None:
        """A few pages at a time. Files from before version 5 keep their size; their room is used again."""
        left, before = self._free_pages(), -1
        while left and left != before:
            began = time.monotonic()
            with self._writing, self._pool.connection() as (connection, _used):
                # Python's driver takes one step of a statement without columns, and each gives one page back.
                connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")
            before, left = left, self._free_pages()
            rest(time.monotonic() - began)

    def _free_pages(self) -> int:
        with self._begun("BEGIN") as connection:
            free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
            return free

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _begun(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._pool.connection() as (connection, _used):
            connection.execute(begin)
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        # We say BEGIN ourselves, and threads take turns with a connection.
        connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            # In WAL mode safe against every crash of a process; a power cut may undo the last transactions, no more.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _switch_to_wal(self) -> None:
        """The file remembers it. Two processes may try at the same moment."""
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            connection = self._connect()
            try:
                if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    return  # saying the other once more would wait for whoever writes, before anything is read
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard only by a file that has no table yet
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # SQLite doesn't wait for its busy time-out here.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.01, 0.05))
            finally:
                connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
