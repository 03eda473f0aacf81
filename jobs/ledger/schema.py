"""The tables' version, and the way from older ones to this one. The tables: `sql/schema.sql`, `sql/*_tables.sql`."""

import os
from collections.abc import Callable, Sequence

from jobs.core.errors import SettingsError
from jobs.ledger.errors import SchemaTooNewError
from jobs.ledger.statements import script
from jobs.ledger.transaction import Transaction

#: What this program writes and reads.
VERSION = 8

#: Steps from older versions: (the version a step leads to, what it does). In order; each runs once.
Step = tuple[int, Callable[[Transaction], None]]

#: The version of the tables of `sql/schema.sql`: the steps after it make them what they are now.
_SCHEMA_SQL = 3

#: PostgreSQL advisory lock that only one process at a time creates or upgrades under ("chartq" in hex).
_SCHEMA_LOCK = 0x636861727471

_HAS_TABLES = {
    "sqlite": "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_info'",
    "postgresql": "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('schema_info')",
}


def _run(name: str) -> Callable[[Transaction], None]:
    def run(tx: Transaction) -> None:
        for sql in script(name, tx.dialect):
            tx.execute(sql)

    return run


STEPS: Sequence[Step] = (
    (2, _run("upgrade_2")),
    (3, _run("upgrade_3")),
    (4, _run("http_tables")),
    (5, _run("control_tables")),
    (6, _run("upgrade_6")),
    (7, _run("upgrade_7")),
    (8, _run("upgrade_8")),
)


def current_version(tx: Transaction) -> int | None:
    """The version of the tables that are there; None if there are none."""
    return _version(tx) if tx.execute(_HAS_TABLES[tx.dialect]).fetchone()[0] else None


def write_nothing_new(tx: Transaction) -> int:
    """The version, after a write that changes nothing and yet needs the rights, the locks and the room of one."""
    tx.execute("UPDATE schema_info SET version = version")
    return _version(tx)


def _version(tx: Transaction) -> int:
    found: int = tx.execute("SELECT version FROM schema_info").fetchone()[0]
    return found


def store_id(tx: Transaction) -> str:
    """The store's own name, drawn when it was made: no other store has it."""
    found: str = tx.execute("SELECT store_id FROM schema_info").fetchone()[0]
    return found


def prepare(tx: Transaction, *, version: int = VERSION, steps: Sequence[Step] = STEPS) -> None:
    """Create or upgrade the tables, in the caller's write transaction; several processes may try at once.

    Raises SchemaTooNewError if the tables are newer than `version`, SettingsError if the database can't hold any text.
    """
    if tx.dialect == "postgresql":
        tx.execute(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
    found = current_version(tx)
    if found is None:
        _check_encoding(tx)
        _run("schema")(tx)
        for leads_to, step in STEPS:
            if _SCHEMA_SQL < leads_to <= version:
                step(tx)
        tx.execute(f"INSERT INTO schema_info (version) VALUES ({version:d})")  # noqa: S608 (a number)
    else:
        check(found, version=version)
        for leads_to, step in steps:
            if found < leads_to <= version:
                step(tx)
        tx.execute(f"UPDATE schema_info SET version = {version:d}")  # noqa: S608 (a number)
    if version >= 3:
        tx.execute(f"UPDATE schema_info SET store_id = '{os.urandom(8).hex()}' WHERE store_id IS NULL")  # noqa: S608 (ours)


def check(found: int, *, version: int = VERSION) -> None:
    """Raise SchemaTooNewError if the tables are of a version that this program doesn't know."""
    if found > version:
        raise SchemaTooNewError(
            f"the results store has schema version {found}, this chartq knows {version}: "
            "install the newer chartq that wrote it, or point RESULTS_URL or CHARTQ_HOME elsewhere"
        )


def _check_encoding(tx: Transaction) -> None:
    """An answer that the database can't hold would be paid for, and lost, again and again."""
    if tx.dialect != "postgresql":
        return
    encoding = tx.execute("SHOW server_encoding").fetchone()[0]
    if encoding != "UTF8":
        raise SettingsError(
            f"RESULTS_URL: the database's encoding is {encoding}, and answers are any text: make one with "
            "CREATE DATABASE charts ENCODING 'UTF8' TEMPLATE template0"
        )
