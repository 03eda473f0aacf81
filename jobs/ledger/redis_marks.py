"""Which Redis the store is worked through: one at a time (see jobs/batches/pairing.py). Times are the database's."""

from dataclasses import dataclass

from jobs.ledger.transaction import Row, Transaction


@dataclass(frozen=True, kw_only=True)
class RedisMark:
    """A Redis that the store was worked through: its own name, where it is (for people), and when that was."""

    id: str
    place: str
    seen_at: float
    age_s: float


def get(tx: Transaction) -> RedisMark | None:
    """The one that was last worked through."""
    return _mark(tx.row("redis_mark"))


def other(tx: Transaction, redis_id: str | None, place: str) -> RedisMark | None:
    """Another one than this, if somebody works through it."""
    return _mark(tx.row("other_redis", id=redis_id or "", place=place))


def put(tx: Transaction, redis_id: str, place: str) -> RedisMark | None:
    """Somebody works through this one, unless it is another one that they do: then that is returned."""
    return None if tx.run("mark_redis", id=redis_id, place=place) else get(tx)


def _mark(row: Row | None) -> RedisMark | None:
    return RedisMark(**row._asdict()) if row is not None and row.id is not None else None
