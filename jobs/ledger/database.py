"""One database, SQLite or PostgreSQL: its connections, transactions, and what differs between the two."""

import os
import random
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SAWarning, SQLAlchemyError

from jobs.core.errors import InstallationError, SettingsError, StoreError
from jobs.ledger import schema
from jobs.ledger.errors import translated, worth_repeating

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

#: Seconds that a writer waits for the others before the store counts as locked.
LOCK_WAIT_S = 60

#: How often a transaction that lost a deadlock is run again.
_REPEATS = 5

#: PostgreSQL connections of one process: threads take turns, a hundred workers must fit a small server.
_POOL_SIZE = 4

#: libpq's settings (URL parameters win): a server that fell silent is noticed within half a minute.
_POSTGRES_DEFAULTS: dict[str, Any] = {
    "application_name": "chartq",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
    # No prepared statements: a plan made while a table was small would be kept when it is large (a submit of
    # 100,000 took 85 s instead of 23), and poolers in transaction mode don't know them.
    "prepare_threshold": None,
}


class Store:
    """A pool of connections to one database; all its errors leave here as StoreError."""

    def __init__(self, url: str | URL) -> None:
        self._url = _parsed(url)
        self.label = _label(self._url)
        try:
            with _unusable_told(self.label):
                self._engine = _engine(self._url)
        except ImportError as error:
            raise InstallationError(
                f"RESULTS_URL asks for {self.label}; its driver is missing: pip install 'chartq[postgres]'"
            ) from error
        driver: Any = self._engine.dialect.loaded_dbapi
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, driver.Error)
        self._writer = self._engine.execution_options(chartq_writes=True)
        # Threads of one process queue up here instead of polling SQLite's lock against each other.
        one_writer = self._url.get_backend_name() == "sqlite"
        self._turn: AbstractContextManager[Any] = threading.Lock() if one_writer else nullcontext()

    def prepare(self) -> None:
        """Make the file and the tables if they are missing, upgrade older ones."""
        is_sqlite = self._url.get_backend_name() == "sqlite"
        with _unusable_told(self.label), self._boundary():
            if is_sqlite:
                _make_private_file(Path(self._url.database or ""))
            self._engine.connect().close()
        if is_sqlite:
            with self._boundary():
                _switch_to_wal(self._engine)
        found = self.read(schema.current_version)
        if found is None or found < schema.VERSION:
            self.write(schema.prepare)
        else:
            schema.check(found)

    def read(self, work: Callable[[Connection], T]) -> T:
        """`work`'s answer, from one connection that writes nothing."""
        with self._boundary(), self._engine.begin() as connection:
            return work(connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """`work` in one transaction: all of it or nothing. It may be called again after a deadlock."""
        with self._boundary(), self._turn:
            for attempt in range(_REPEATS):
                try:
                    with self._writer.begin() as connection:
                        return work(connection)
                except SQLAlchemyError as error:
                    if not worth_repeating(error) or attempt == _REPEATS - 1:
                        raise
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def renew_statistics(self) -> None:
        """After a bulk insert, tell PostgreSQL's planner; by itself it looks within minutes.

        Until then it takes each page of results for cheaper to sort than to find (60,000 rows: 22 s, not 4).
        """
        if self._url.get_backend_name() == "postgresql":
            with suppress(StoreError):  # only speed is at stake
                self.write(lambda connection: connection.execute(text("ANALYZE jobs, members")))

    def close(self) -> None:
        """End all connections; the store may not be used afterwards."""
        self._engine.dispose()

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise translated(error, self.label) from error


def upserting(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that can say ON CONFLICT in this connection's dialect."""
    # The other dialect is not loaded: a worker is meant to be small.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # The value may hold a password: it is not repeated.
        raise SettingsError("RESULTS_URL is no SQLAlchemy URL, like sqlite:////data/ledger.db") from error
    if parsed.get_backend_name() in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(f"RESULTS_URL starts with {parsed.drivername!r}; sqlite and postgresql are known")
    if parsed.database in (None, "", ":memory:"):
        raise SettingsError("RESULTS_URL=sqlite://... needs a file: several processes share it")
    return parsed


@contextmanager
def _unusable_told(label: str) -> Iterator[None]:
    """What a name or an option of a URL does to the libraries, as SettingsError; SQLite's would only warn."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)
            yield
    except (ArgumentError, SAWarning, TypeError, ValueError) as error:
        what = f"RESULTS_URL for {label!r} can't be used: take out the options after the ?, and odd characters"
        # The libraries' words, and the caught error's frames, hold parts of the URL, which may be a password.
        raise SettingsError(f"{what} ({type(error).__name__})") from None


def _label(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"postgresql at {url.host or 'local socket'}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        settings = {key: value for key, value in _POSTGRES_DEFAULTS.items() if key not in url.query}
        engine = create_engine(
            url,
            connect_args=settings,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_SIZE,
            pool_timeout=LOCK_WAIT_S,
            pool_pre_ping=True,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _bound_postgres_waits)
        return engine
    engine = create_engine(
        url,
        connect_args={} if "timeout" in url.query else {"timeout": LOCK_WAIT_S},
        pool_size=_POOL_SIZE,
        pool_timeout=LOCK_WAIT_S,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _bound_postgres_waits(connection: Any, _record: Any) -> None:
    # A process frozen within a transaction must not hold its locks for ever, nor the others wait for ever.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{LOCK_WAIT_S}s'")
    connection.commit()


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # SQLAlchemy's documented way to say BEGIN ourselves ("Using SQLAlchemy to emit BEGIN").
    connection.isolation_level = None
    # In WAL mode safe against every crash of a process; a power cut may undo the last transactions, no more.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can't wait for its turn; one that says so at once can.
    writes = connection.get_execution_options().get("chartq_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(engine: Engine) -> None:
    """Readers and a writer side by side; the file remembers it. Two processes may try at the same moment."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite doesn't wait for its busy time-out here.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.05))
        finally:
            connection.close()


def _make_private_file(path: Path) -> None:
    """The database file, readable by its owner only; SQLite gives its -wal and -shm the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"results store {path} can't be opened: {error.strerror}") from error
