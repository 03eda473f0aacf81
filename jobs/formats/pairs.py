"""The rows of two batches, paired by custom id.

A batch's rows come in the order of its own submission, so two streams can't be merged as they come, and 100,000 rows
don't belong in memory. Both go into a temporary SQLite database instead, on disk and without a name, which pairs
them through an index and is gone when the comparison ends.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from jobs.core.errors import StoreError
from jobs.core.text import encodable
from jobs.formats.format import Row
from jobs.formats.rows import fields_of, is_rehearsal

#: `differ`, `same`: both answered; `one`: only one did; `none`: neither.
Outcome = Literal["differ", "same", "one", "none"]
#: As people are told.
OUTCOMES: Mapping[Outcome, str] = {"differ": "differ", "same": "same", "one": "one answer", "none": "no answers"}

#: A custom id that stands in a batch more than once is paired with its first, second, ... namesake.
_SCHEMA = """
CREATE TABLE a (position INTEGER PRIMARY KEY, custom_id TEXT, nth INTEGER, row TEXT);
CREATE TABLE b (position INTEGER PRIMARY KEY, custom_id TEXT, nth INTEGER, row TEXT);
CREATE UNIQUE INDEX a_ids ON a (custom_id, nth);
CREATE UNIQUE INDEX b_ids ON b (custom_id, nth);
"""
_INSERT = (
    "INSERT INTO {0} (custom_id, nth, row) "
    "SELECT :id, (SELECT coalesce(max(nth), 0) + 1 FROM {0} WHERE custom_id = :id), :row"
)
_PAIRED = "SELECT a.row, b.row FROM a LEFT JOIN b USING (custom_id, nth) ORDER BY a.position"
_B_ONLY = "SELECT NULL, b.row FROM b LEFT JOIN a USING (custom_id, nth) WHERE a.position IS NULL ORDER BY b.position"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One chart in two batches; at least one of the rows is there. Rows come without `raw`, with `rehearsal`."""

    a: Row | None
    b: Row | None

    @property
    def custom_id(self) -> str:
        return str(self.either["custom_id"])

    @property
    def either(self) -> Row:
        row = self.a or self.b
        assert row is not None
        return row

    @cached_property
    def outcome(self) -> Outcome:
        texts = [row["text"] for row in (self.a, self.b) if row is not None and row["text"] is not None]
        if len(texts) < 2:
            return "one" if texts else "none"
        return "same" if agree(*texts) else "differ"


class Pairs:
    """All pairs, in the order of A's submission, then what only B has. Can be gone through more than once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __iter__(self) -> Iterator[Pair]:
        for query in (_PAIRED, _B_ONLY):
            for a, b in self._database.execute(query):
                yield Pair(a=json.loads(a) if a else None, b=json.loads(b) if b else None)

    @cached_property
    def counts(self) -> Mapping[Outcome, int]:
        """How many pairs of each outcome."""
        return Counter(pair.outcome for pair in self)

    @cached_property
    def rehearsal(self) -> bool:
        """Whether any of the answers is the rehearsal server's."""
        return any(row["rehearsal"] for pair in self for row in (pair.a, pair.b) if row)


@contextmanager
def compare_rows(a_rows: Iterable[Row], b_rows: Iterable[Row]) -> Iterator[Pairs]:
    """Pair two batches' result documents; each stream is read once. Raises StoreError: no room for temporary files."""
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as database:  # "": temporary, on disk
            database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA} BEGIN;")
            for table, rows in (("a", a_rows), ("b", b_rows)):
                database.executemany(_INSERT.format(table), map(_stored, rows))
            yield Pairs(database)
    except sqlite3.Error as error:
        raise StoreError(
            f"the comparison's temporary file can't be written ({error}): point SQLITE_TMPDIR to a disk with room"
        ) from error


def agree(a: str, b: str) -> bool:
    """Whether two answers say the same: case, white space, bold type and the order of fields don't count."""
    a_fields, b_fields = fields_of(a), fields_of(b)
    if a_fields is not None and b_fields is not None:
        return a_fields == b_fields
    return _plain(a) == _plain(b)


def _plain(text: str) -> list[str]:
    return text.replace("**", "").casefold().split()


def _stored(row: Row) -> dict[str, str]:
    kept = {name: value for name, value in row.items() if name != "raw"}
    kept["rehearsal"] = is_rehearsal(row)
    return {"id": encodable(row["custom_id"]), "row": json.dumps(kept)}
