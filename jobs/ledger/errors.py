"""What can go wrong with the results store, and the one place where SQLAlchemy's errors become ours.

StoreError (jobs.errors)         wrong for good: broken file, foreign tables, missing rights
├── StoreUnavailableError        away, locked or full: hold what you have and try again
└── SchemaTooNewError            written by a newer chartq
"""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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


class SchemaTooNewError(StoreError):
    """The results store was written by a newer chartq."""


def translated(error: Exception, label: str) -> StoreError:
    """Our error for SQLAlchemy's or the driver's. `label` names the store without its password."""
    cause = _cause(error)
    passes = isinstance(error, PoolTimeoutError) or _passes(cause)
    kind = StoreUnavailableError if passes else StoreError
    # The driver's own words: SQLAlchemy's would add the statement and what is in it.
    reason = " ".join(str(cause).split())[:_MESSAGE_CHARS]
    return kind(f"results store {label}: {reason}{_advice(cause)}")


def worth_repeating(error: Exception) -> bool:
    """Whether PostgreSQL only sacrificed this transaction so that another could go on."""
    return _sqlstate(_cause(error)) in _POSTGRES_AGAIN


def _cause(error: Exception) -> BaseException:
    """The driver's error inside SQLAlchemy's; connections that are being set up raise it bare."""
    return (error.orig or error) if isinstance(error, DBAPIError) else error


def _passes(cause: BaseException) -> bool:
    if name := _sqlite_name(cause):
        return name.removeprefix("SQLITE_").split("_")[0] in _SQLITE_PASSING
    if state := _sqlstate(cause):
        return state[:2] in _POSTGRES_PASSING or state == _POSTGRES_READ_ONLY
    # Without a state the server never got to answer: it is the connection.
    return type(cause).__name__ in ("OperationalError", "InterfaceError")


def _advice(cause: BaseException) -> str:
    if _sqlite_name(cause) == "SQLITE_FULL" or _sqlstate(cause) == _POSTGRES_DISK_FULL:
        return " (the disk is full: make room, nothing is lost)"
    if _sqlite_name(cause) in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
        return " (not a readable database: move it away or restore it from a copy)"
    return ""


def _sqlite_name(cause: BaseException) -> str | None:
    return getattr(cause, "sqlite_errorname", None)


def _sqlstate(cause: BaseException) -> str | None:
    return getattr(cause, "sqlstate", None)
