"""Keys of the HTTP API: made, found, revoked. The secret part is never kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.core.errors import InputError, UnknownIdError
from jobs.ledger.transaction import Row, Transaction

#: How a key begins, so that scanners for secrets know it.
_PREFIX = "cq"


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    key_id: str
    #: Whose it is: who has it sees what keys of this name made. One that acts and one that reads may have the same.
    name: str
    read_only: bool
    created_at: float
    revoked_at: float | None


def create(tx: Transaction, name: str, *, read_only: bool, now: float) -> str:
    """A new key, shown this once. Raises InputError: the name has one that may as much."""
    import secrets  # brings OpenSSL, as below: a twentieth of a command's start, and few look at keys

    tx.run("lock_keys")  # two who create the same name at once
    if any(row.read_only == int(read_only) for row in tx.rows("live_keys_of", name=name)):
        kind = "read-only key" if read_only else "key"
        raise InputError(f"there is a {kind} {name!r}: revoke it first, or choose another name")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    tx.run("insert_key", key_id=key_id, name=name, hash=_hash(secret), read_only=int(read_only), now=now)
    return f"{_PREFIX}-{key_id}-{secret}"


def check(tx: Transaction, key: str) -> ApiKey | None:
    """The key's entry if it is right and not revoked. What is compared is compared in constant time."""
    import hmac

    prefix, _, rest = key.partition("-")
    key_id, _, secret = rest.partition("-")
    row = tx.row("key", key_id=key_id) if prefix == _PREFIX else None
    # A hash is compared in any case: how long it takes doesn't tell whether there is such an id.
    right = hmac.compare_digest(_hash(secret), row.hash if row is not None else _hash(""))
    return _key(row) if row is not None and right and row.revoked_at is None else None


def listed(tx: Transaction) -> Sequence[ApiKey]:
    """All keys, the revoked ones too, the oldest first."""
    return [_key(row) for row in tx.rows("keys")]


def count(tx: Transaction) -> tuple[int, int]:
    """How many there ever were, and how many are not revoked."""
    ever, live = tx.tuples("count_keys")[0]
    return ever, live


def revoke(tx: Transaction, name: str, now: float) -> int:
    """From now on no key of this name opens anything: how many did. Raises UnknownIdError."""
    revoked = tx.run("revoke_keys", name=name, now=now)
    if not revoked:
        raise UnknownIdError(f"no key {name!r} that is not revoked; `chartq keys list` shows all")
    return revoked


def is_job_of(tx: Transaction, job_id: str, name: str) -> bool:
    """Whether the job stands in a batch that this key made."""
    return bool(tx.tuples("is_job_of", job_id=job_id, owner=name))


def _key(row: Row) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        read_only=bool(row.read_only),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _hash(secret: str) -> str:
    import hashlib

    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
