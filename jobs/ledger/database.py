"""The store: transactions on one database, SQLite or PostgreSQL, and its errors as ours."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from jobs.core.errors import InstallationError, StoreError
from jobs.ledger import schema
from jobs.ledger.errors import translated, worth_repeating
from jobs.ledger.question_cache import Questions
from jobs.ledger.statements import Dialect
from jobs.ledger.store_url import StoreUrl
from jobs.ledger.transaction import Connection, Transaction

P = ParamSpec("P")
T = TypeVar("T")

#: How often a transaction that lost a deadlock is run again.
_REPEATS = 5


class Database(Protocol):
    """What a kind of database has to do for the store."""

    dialect: Dialect
    #: What its driver raises.
    errors: tuple[type[Exception], ...]

    def create(self) -> None:
        """Make the database, if it can be made."""

    def transaction(self, *, writes: bool) -> AbstractContextManager[Connection]:
        """A connection within a transaction, which ends with the block."""

    def renew_statistics(self) -> None:
        """Many rows are new: let the planner know."""

    def give_room_back(self) -> None:
        """Many rows are gone: let the system have their room again, without holding up anybody."""

    def close(self) -> None: ...


class Store:
    """A pool of connections to one database; all its errors leave here as StoreError. Safe to use from threads."""

    def __init__(self, url: str | StoreUrl) -> None:
        self.url = url if isinstance(url, StoreUrl) else StoreUrl.parse(url)
        self.label = self.url.label
        self.questions = Questions()
        self._database = _database(self.url)

    def prepare(self) -> None:
        """Make the file and the tables if they are missing, upgrade older ones."""
        with self._boundary():
            self._database.create()
        found = self.read(schema.current_version)
        if found is None or found < schema.VERSION:
            self.write(schema.prepare)
        else:
            schema.check(found)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """`work`'s answer, from one moment of the store; it writes nothing."""
        with self._boundary(), self._database.transaction(writes=False) as connection:
            return work(self._transaction(connection))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """`work` in one transaction: all of it or nothing. It may be called again after a deadlock."""
        with self._boundary():
            for attempt in range(_REPEATS):
                try:
                    with self._database.transaction(writes=True) as connection:
                        return work(self._transaction(connection))
                except self._database.errors as error:
                    if not worth_repeating(error) or attempt == _REPEATS - 1:
                        raise
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def renew_statistics(self) -> None:
        """Only speed is at stake."""
        with suppress(StoreError), self._boundary():
            self._database.renew_statistics()

    def give_room_back(self) -> None:
        """Only room is at stake."""
        with suppress(StoreError), self._boundary():
            self._database.give_room_back()

    def close(self) -> None:
        """End all connections; the store may not be used afterwards."""
        self._database.close()

    def _transaction(self, connection: Any) -> Transaction:
        return Transaction(connection, self._database.dialect, self.questions)

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except self._database.errors as error:
            raise translated(error, self.label) from error


class Owner(Protocol):
    """Who has a store."""

    store: Store


def reads(work: Callable[Concatenate[Transaction, P], T]) -> Callable[Concatenate[Owner, P], T]:
    """A method that does this in a transaction that writes nothing."""

    @wraps(work)
    def method(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.store.read(lambda tx: work(tx, *args, **kwargs))

    return method


def writes(work: Callable[Concatenate[Transaction, P], T]) -> Callable[Concatenate[Owner, P], T]:
    """A method that does this in a transaction: all of it or nothing."""

    @wraps(work)
    def method(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.store.write(lambda tx: work(tx, *args, **kwargs))

    return method


def _database(url: StoreUrl) -> Database:
    if url.dialect == "sqlite":
        from jobs.ledger.sqlite_database import SqliteDatabase  # the other one's driver needn't be there

        return SqliteDatabase(url)
    try:
        from jobs.ledger.postgres_database import PostgresDatabase
    except ImportError as error:
        raise InstallationError(
            f"RESULTS_URL asks for {url.label}; its driver is missing: pip install 'chartq[postgres]'"
        ) from error
    return PostgresDatabase(url)
