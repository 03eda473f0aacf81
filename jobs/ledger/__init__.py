"""The results store: one Ledger, and the values that go in and come out."""

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

__all__ = [
    "ALL_FAILURES",
    "ALL_ROWS",
    "Added",
    "AnswerRow",
    "Batch",
    "CallsMade",
    "Change",
    "Counts",
    "Failed",
    "FailureFilter",
    "Finished",
    "Hold",
    "JobError",
    "JobRow",
    "Ledger",
    "NewMember",
    "OpenJob",
    "RedisMark",
    "ResultRow",
    "Returned",
    "RowFilter",
    "SchemaTooNewError",
    "Size",
    "SourceAnswer",
    "StartedJob",
    "StoreGoneError",
    "StoreUnavailableError",
    "StoreUrl",
    "TokensSpent",
]
