"""One transaction: named statements in, rows out. What differs between the two databases ends here."""

import json
from collections import namedtuple
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from jobs.ledger.columns import clean
from jobs.ledger.question_cache import Questions
from jobs.ledger.statements import Dialect, statement

#: A row; which columns it has, the statement says.
Row = Any


class Connection(Protocol):
    """What we use of sqlite3's and psycopg's connections."""

    def execute(self, sql: Any, values: Any = ...) -> Any: ...

    def cursor(self) -> Any: ...

    def close(self) -> None: ...


#: A row id beyond all.
BEYOND = 2**62

#: Both drivers take these unchanged. Most of what a call writes is such, by the dozen.
_AS_THEY_ARE = frozenset({type(None), bool, int, float})


class Transaction:
    """Runs statements by name. `questions`: the ledger's questions that are kept in memory."""

    def __init__(self, connection: Connection, dialect: Dialect, questions: Questions) -> None:
        self._connection, self.dialect, self.questions = connection, dialect, questions
        self._is_sqlite = dialect == "sqlite"

    def rows(self, name: str, /, **values: Any) -> list[Row]:
        """Run a statement; its rows, with its columns as attributes."""
        cursor = self._run(name, values)
        return list(map(_row_class(tuple(column[0] for column in cursor.description))._make, cursor.fetchall()))

    def tuples(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement; its rows as plain tuples, for the few that are read by the hundred thousand."""
        found: list[tuple[Any, ...]] = self._run(name, values).fetchall()
        return found

    def row(self, name: str, /, **values: Any) -> Row | None:
        """The only row, or None."""
        found = self.rows(name, **values)
        return found[0] if found else None

    def values(self, name: str, /, **values: Any) -> list[Any]:
        """The first column."""
        return [row[0] for row in self.tuples(name, **values)]

    def run(self, name: str, /, **values: Any) -> int:
        """Run a statement that gives no rows. Returns how many it changed."""
        changed: int = self._run(name, values).rowcount
        return changed

    def run_many(self, name: str, values: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each."""
        bound = [self._bound(one) for one in values]
        if len(bound) == 1:
            self._connection.execute(statement(name, self.dialect), bound[0])
        elif bound:
            self._connection.cursor().executemany(statement(name, self.dialect), bound)

    def execute(self, sql: str, **values: Any) -> Any:
        """Run SQL that has no name: of the schema."""
        return self._connection.execute(sql, self._bound(values)) if values else self._connection.execute(sql)

    def _run(self, name: str, values: Mapping[str, Any]) -> Any:
        return self._connection.execute(statement(name, self.dialect), self._bound(values))

    def _bound(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value
            if type(value) in _AS_THEY_ARE or (type(value) is str and value.isascii() and "\0" not in value)
            else self._value(value)
            for name, value in values.items()
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, list | tuple | set | frozenset | dict):
            items = [clean(item) if isinstance(item, str) else item for item in value]
            return json.dumps(items, ensure_ascii=False) if self._is_sqlite else items
        return value


@lru_cache(maxsize=256)
def _row_class(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
