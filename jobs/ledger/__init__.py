"""The results store: one Ledger, and the values that go in and come out."""

# What is imported here is what the room shows of itself.
# mypy: implicit-reexport
# ruff: noqa: F401

from jobs.ledger.deletion import Size
from jobs.ledger.errors import SchemaTooNewError, StoreGoneError, StoreUnavailableError
from jobs.ledger.filters import ALL_FAILURES, ALL_ROWS, FailureFilter, RowFilter
from jobs.ledger.ledger import Ledger
from jobs.ledger.records import (
    Added,
    Batch,
    CallsMade,
    Counts,
    Hold,
    JobError,
    JobRow,
    NewMember,
    OpenJob,
    ResultRow,
    SourceAnswer,
    StartedJob,
    TokensSpent,
)
from jobs.ledger.redis_marks import RedisMark
from jobs.ledger.reports import AnswerRow, Change, Failed, Finished, Returned
from jobs.ledger.store_url import StoreUrl
