"""PostgreSQL as a results store, by psycopg. Loaded only where RESULTS_URL asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from jobs.ledger.pool import Pool
from jobs.ledger.sqlite_database import LOCK_WAIT_S
from jobs.ledger.statements import Dialect
from jobs.ledger.store_url import StoreUrl, unusable

#: Connections of one process: threads take turns, a hundred workers must fit a small server.
_CONNECTIONS = 8

#: libpq's settings (options of the URL win): a server that fell silent is noticed within half a minute.
_DEFAULTS: dict[str, Any] = {
    "application_name": "chartq",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}


class _StaleError(Exception):
    """A pooled connection had been cut: by the server's restart, say."""


def _is_idle(connection: psycopg.Connection[Any]) -> bool:
    return not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE


class PostgresDatabase:
    dialect: Dialect = "postgresql"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: StoreUrl) -> None:
        try:
            self._settings = {**_DEFAULTS, **conninfo_to_dict(url.uri)}
        except psycopg.Error:  # libpq's words, and the caught error's frames, hold parts of the URL
            raise unusable(repr(url.label)) from None
        self._pool: Pool[psycopg.Connection[Any]] = Pool(
            self._connect, is_sound=_is_idle, size=_CONNECTIONS, wait_s=LOCK_WAIT_S
        )

    def create(self) -> None:
        """The database is there already, or can't be made by us."""

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[psycopg.Connection[Any]]:
        """A transaction; the isolation is ours whatever the server's default is."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED" if writes else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._begun(begin) as connection:
            try:
                yield connection
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
            connection.commit()

    def renew_statistics(self) -> None:
        """After a bulk insert, tell the planner; by itself it looks within minutes.

        Until then it takes each page of results for cheaper to sort than to find (60,000 rows: 22 s, not 4).
        """
        with self.transaction(writes=True) as connection:
            connection.execute("ANALYZE jobs, members")

    def give_room_back(self) -> None:
        """PostgreSQL's own vacuum does."""

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _begun(self, begin: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection on which BEGIN went through: one that was cut meanwhile is replaced, nothing is lost by it."""
        try:
            with self._pool.connection() as (connection, used):
                try:
                    connection.execute(begin)
                except psycopg.OperationalError as error:
                    if used:
                        raise _StaleError from error
                    raise
                yield connection
            return
        except _StaleError:
            self._pool.forget()
        with self._pool.connection() as (connection, _used):
            connection.execute(begin)
            yield connection

    def _connect(self) -> psycopg.Connection[Any]:
        # No prepared statements: a plan made while a table was small would be kept when it is large (a submit of
        # 100,000 took 85 s instead of 23), and poolers in transaction mode don't know them.
        connection = psycopg.connect(**self._settings, autocommit=True, prepare_threshold=None)
        # A process frozen within a transaction must not hold its locks for ever, nor the others wait for ever.
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{LOCK_WAIT_S}s'")
        return connection
