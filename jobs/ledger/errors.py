"""What can go wrong with the results store, and the one place where the drivers' errors become ours.

StoreError (jobs.core.errors)    wrong for good: broken file, foreign tables, missing rights
├── StoreUnavailableError        away, locked or full: hold what you have and try again
│   └── PoolExhaustedError       all connections of this process are busy
├── StoreGoneError               its file was removed or replaced while it was in use
└── SchemaTooNewError            written by a newer chartq
"""

from jobs.core.errors import StoreError

#: Longest part of a driver's message that is passed on, in characters.
_MESSAGE_CHARS = 400

#: SQLite's result codes (https://sqlite.org/rescode.html) that pass, by themselves or when the user makes room.
_SQLITE_PASSING = ("BUSY", "LOCKED", "FULL", "CANTOPEN", "IOERR", "READONLY", "PROTOCOL", "PERM")

#: Classes of SQLSTATE (PostgreSQL manual, appendix A) that pass: connection, rollback, resources, object not
#: in the needed state (locks), operator intervention (shutdown), system error.
_POSTGRES_PASSING = ("08", "40", "53", "55", "57", "58")

#: A standby that has not been promoted yet refuses writes with this state.
_POSTGRES_READ_ONLY = "25006"
_POSTGRES_DISK_FULL = "53100"

#: Deadlock and serialisation failure: the same transaction, run again, goes through.
_POSTGRES_AGAIN = ("40P01", "40001")


class StoreUnavailableError(StoreError):
    """The results store is away, locked or full just now; the same call may work in a while."""


class PoolExhaustedError(StoreUnavailableError):
    """All connections of this process are busy."""


class StoreGoneError(StoreError):
    """The file that this process writes to is not the one at its place any more: nobody would find what is written."""


class SchemaTooNewError(StoreError):
    """The results store was written by a newer chartq."""


def translated(error: Exception, label: str) -> StoreError:
    """Our error for the driver's. `label` names the store without its password."""
    kind = StoreUnavailableError if _passes(error) else StoreError
    reason = " ".join(str(error).split())[:_MESSAGE_CHARS]
    return kind(f"results store {label}: {reason}{_advice(error)}")


def worth_repeating(error: Exception) -> bool:
    """Whether PostgreSQL only sacrificed this transaction so that another could go on."""
    return _sqlstate(error) in _POSTGRES_AGAIN


def _passes(error: Exception) -> bool:
    if name := _sqlite_name(error):
        return name.removeprefix("SQLITE_").split("_")[0] in _SQLITE_PASSING
    if state := _sqlstate(error):
        return state[:2] in _POSTGRES_PASSING or state == _POSTGRES_READ_ONLY
    # Without a state the server never got to answer: it is the connection.
    return type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")


def _advice(error: Exception) -> str:
    if _sqlite_name(error) == "SQLITE_FULL" or _sqlstate(error) == _POSTGRES_DISK_FULL:
        return " (the disk is full: make room, nothing is lost)"
    if _sqlite_name(error) in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
        return " (not a readable database: move it away or restore it from a copy)"
    return ""


def _sqlite_name(error: Exception) -> str | None:
    return getattr(error, "sqlite_errorname", None)


def _sqlstate(error: Exception) -> str | None:
    return getattr(error, "sqlstate", None)
