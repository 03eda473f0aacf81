"""Pictures in the ledger: those that came within a request, so that every worker sees them, wherever it runs."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from jobs.ledger.database import upserting
from jobs.ledger.records import NewMember
from jobs.ledger.schema import pictures


def put(connection: Connection, rows: Iterable[NewMember]) -> None:
    """Write the pictures that rows bring along, unless they are there."""
    keep(connection, {sha256: data for row in rows for sha256, data in row.pictures.items()})


def keep(connection: Connection, brought: Mapping[str, bytes]) -> None:
    """Write pictures by their SHA-256, unless they are there."""
    there = select(pictures.c.sha256).where(pictures.c.sha256.in_(brought))
    new = brought.keys() - set(connection.execute(there).scalars() if brought else ())
    if new:
        insert = upserting(connection, pictures).on_conflict_do_nothing(index_elements=["sha256"])
        # Another submit may be writing the same ones: sorted, so that the two don't wait for each other.
        connection.execute(insert, [{"sha256": sha256, "data": brought[sha256]} for sha256 in sorted(new)])


def get(connection: Connection, sha256: str) -> bytes | None:
    """The picture's bytes, if it is in the ledger."""
    return connection.execute(select(pictures.c.data).where(pictures.c.sha256 == sha256)).scalar_one_or_none()
