"""The SQL of `sql/*.sql`, by name, in the words of the database in hand.

Both databases read nearly the same SQL. What differs is written so in the files:

- `:name` is a value; `IN :names...` a list of values of any length;
- `{member_status}`, `{id}`, `{double}`... are words that are put in once, when the file is read;
- `/*postgresql FOR UPDATE */` is there for PostgreSQL alone: SQLite has one writer at a time, and locks no rows.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from jobs.core.finish_reason import IS_CUT_OFF_SQL
from jobs.core.job import OPEN_STATES

Dialect = Literal["sqlite", "postgresql"]

#: What columns and expressions are called; `member_status` is explained in member_status.py.
_MEMBER_STATUS = (
    "CASE WHEN members.ended IS NULL OR (members.ended = 'failed' AND jobs.status = 'finished') "
    "THEN jobs.status ELSE members.ended END"
)
#: What a row of results shows, in the order of `ResultRow`: an answer's figures only when finished, an error only when
#: not. Queued again, not started since: the error is of the job's last life, and of the rows that failed then.
_FINISHED = ", ".join(
    f"CASE WHEN page.member_status = 'finished' THEN jobs.{name} END AS {name}"
    for name in ("prompt_tokens", "completion_tokens", "latency_s", "request_id", "provider", "finish_reason", "sent")
)
_SHOWN = (
    "page.position, page.custom_id, jobs.job_id, page.image AS stored_image, questions.model, questions.prompt, "
    "page.member_status AS status, CASE WHEN page.member_status = 'failed' "
    "OR (page.member_status <> 'finished' AND jobs.started_at IS NOT NULL) THEN jobs.error_type END AS error_type, "
    "jobs.error_message, jobs.status_code, jobs.attempts, jobs.throttled, "
    "CASE WHEN page.member_status IN ('finished', 'failed', 'canceled') THEN jobs.finished_at END AS finished_at, "
    f"jobs.rehearsal, {_FINISHED}, answers.text"
)
_JOINED_TO_PAGE = (
    "JOIN jobs ON jobs.id = page.job JOIN questions ON questions.id = jobs.question_id "
    "LEFT JOIN answers ON answers.job = page.job AND page.member_status = 'finished'"
)
#: Whether one of a batch's rows is among those that a `RowFilter` asks for.
_FITS = """\
(:status = '' OR {member_status} = :status)
    AND (:error = '' OR (jobs.error_type = :error AND {member_status} = 'failed'))
    AND (:words = '' OR LOWER(members.custom_id) LIKE :words ESCAPE '!'
        OR EXISTS (SELECT 1 FROM answers WHERE answers.job = jobs.id AND LOWER(answers.text) LIKE :words ESCAPE '!'))
    AND (:text_field = '' OR {member_status} = 'finished' AND EXISTS (
        SELECT 1 FROM (
            SELECT REPLACE(REPLACE(LOWER(answers.text), ' ', ''), :line_feed, '') AS json
            FROM answers WHERE answers.job = jobs.id
        ) AS answer
        WHERE json LIKE :text_field ESCAPE '!' OR json LIKE :bare_field ESCAPE '!' OR json LIKE :last_field ESCAPE '!'
    ))"""
_EVERYWHERE = {
    "member_status": _MEMBER_STATUS,
    "cut_off": IS_CUT_OFF_SQL,
    "shown": _SHOWN,
    "joined_to_page": _JOINED_TO_PAGE,
    "fits": _FITS,
    # Of jobs, spelled as the index's condition is: only so does SQLite see that the index has them all.
    "is_open": " OR ".join(f"status = '{state}'" for state in OPEN_STATES).join("()"),
    # Whether the store may be worked through the Redis `:id` at `:place`: see redis_marks.py. A time that is far ahead
    # is as old as one far behind: the clock was set.
    "redis_is_free": (
        "(redis_id IS NULL OR redis_id = :id OR redis_place = :place OR ABS({now} - redis_seen_at) >= 30)"
    ),
}
_WORDS: Mapping[Dialect, Mapping[str, str]] = {
    "sqlite": {
        "id": "INTEGER",
        "ref": "INTEGER",
        "double": "DOUBLE",
        "bytes": "BLOB",
        "keep_locked": "NOTHING",
        "now": "((julianday('now') - 2440587.5) * 86400.0)",
        **_EVERYWHERE,
    },
    "postgresql": {
        "id": "BIGSERIAL",
        "ref": "BIGINT",
        "double": "DOUBLE PRECISION",
        "bytes": "BYTEA",
        # It stays as it is, and can't be removed before the transaction is through.
        "keep_locked": "UPDATE SET id = excluded.id",
        "now": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
        **_EVERYWHERE,
    },
}

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_LIST = re.compile(r"\bIN :(\w+)\.\.\.")
_VALUE = re.compile(r"(?<![:\w]):([a-z_]\w*)")
_ONLY_POSTGRESQL = re.compile(r"/\*postgresql (.*?)\*/", re.DOTALL)
_WORD = re.compile(r"\{(\w+)\}")

#: Files of named statements.
_FILES = ("batches", "controls", "counts", "delete", "submit", "work", "read", "http")


@cache
def statement(name: str, dialect: Dialect) -> str:
    """The statement of this name. Spelled when it is first asked for: a command needs a few of the hundred."""
    return _spelled(written()[name], dialect)


@cache
def written() -> Mapping[str, str]:
    """All named statements, as they stand in the files."""
    found: dict[str, str] = {}
    for file in _FILES:
        parts = _NAME.split(_text(f"{file}.sql"))
        for name, sql in zip(parts[1::2], parts[2::2], strict=True):
            if name in found:
                raise AssertionError(f"two statements are called {name}")
            found[name] = sql
    return found


def script(name: str, dialect: Dialect) -> Iterator[str]:
    """The statements of a file that is run as a whole, one after the other."""
    for sql in _COMMENT.sub("", _text(f"{name}.sql")).split(";"):
        if sql.strip():
            yield _with_words(sql, dialect).strip()


def _text(name: str) -> str:
    return (Path(__file__).with_name("sql") / name).read_text("utf-8")


def _spelled(sql: str, dialect: Dialect) -> str:
    sql = _with_words(" ".join(_COMMENT.sub("", sql).split()), dialect)
    if dialect == "sqlite":
        return _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", _ONLY_POSTGRESQL.sub("", sql))
    sql = _LIST.sub(r"= ANY(:\1)", _ONLY_POSTGRESQL.sub(r"\1", sql)).replace("%", "%%")
    return _VALUE.sub(r"%(\1)s", sql)


def _with_words(sql: str, dialect: Dialect) -> str:
    """With all words put in; a word may hold others."""
    return _WORD.sub(lambda match: _with_words(_WORDS[dialect][match[1]], dialect), sql)
