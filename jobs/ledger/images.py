"""Pictures in the ledger: those that came within a request, so that every worker sees them, wherever it runs."""

from collections.abc import Mapping

from jobs.ledger.transaction import Transaction


def keep(tx: Transaction, brought: Mapping[str, bytes]) -> None:
    """Write pictures by their SHA-256, unless they are there; they may come before the rows that are about them."""
    if not brought:
        return
    new = brought.keys() - set(tx.values("known_pictures", hashes=list(brought)))
    # Another submit may be writing the same ones: sorted, so that the two don't wait for each other.
    tx.run_many("put_picture", [{"sha256": sha256, "data": brought[sha256]} for sha256 in sorted(new)])


def get(tx: Transaction, sha256: str) -> bytes | None:
    """A picture that came within a request; None if there is none of this hash."""
    found = tx.values("picture", sha256=sha256)
    return bytes(found[0]) if found else None
