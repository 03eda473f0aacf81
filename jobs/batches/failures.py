"""A batch's failures by kind: what they have in common, how many, and which jobs. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobs.core.error_kind import error_kind
from jobs.ledger import JobError


@dataclass(kw_only=True)
class FailureKind:
    """Failures of one type and status whose messages differ in nothing but numbers, names and the like."""

    type: str
    status_code: int | None
    #: The first one's, as an example.
    message: str
    job_ids: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """A line of `errors --json`."""
        return {
            "type": self.type,
            "status_code": self.status_code,
            "message": self.message,
            "count": len(self.job_ids),
            "job_ids": self.job_ids,
        }


def failure_kinds(failures: Iterable[tuple[str, JobError]]) -> list[FailureKind]:
    """The kinds of these failures (job id, error), the most frequent first. A job that is there twice counts once."""
    kinds: dict[tuple[str, int | None, str], FailureKind] = {}
    of_message: dict[str, str] = {}  # most messages come many times
    for job_id, error in dict(failures).items():
        if (common := of_message.get(error.message)) is None:
            common = of_message[error.message] = error_kind(error.message)
        kind = kinds.setdefault(
            (error.type, error.status_code, common),
            FailureKind(type=error.type, status_code=error.status_code, message=error.message),
        )
        kind.job_ids.append(job_id)
    return sorted(kinds.values(), key=lambda kind: -len(kind.job_ids))
