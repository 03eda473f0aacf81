"""What people ask about: a batch's results, one job, what answers took. Nothing here writes."""

from collections.abc import Collection, Sequence
from typing import Any

from jobs.core.errors import UnknownIdError
from jobs.core.job import Question
from jobs.ledger import questions
from jobs.ledger.columns import path_from_store
from jobs.ledger.filters import RowFilter
from jobs.ledger.records import Batch, CallsMade, JobError, JobRow, ResultRow, SourceAnswer, TokensSpent
from jobs.ledger.transaction import Transaction

#: Results read at a time: memory stays flat, and no transaction stays open while the caller writes a file.
PAGE = 500


def answered(tx: Transaction, job_ids: Sequence[str], *, count_rehearsals: bool) -> set[str]:
    """Those of the jobs that a submit without refresh would find answered."""
    return set(tx.values("answered", job_ids=list(job_ids), count_rehearsals=int(count_rehearsals)))


def tokens_spent(tx: Transaction, question: Question, *, count_rehearsals: bool) -> TokensSpent | None:
    """What the answers so far took: to this question, else of its lane; None without any that tell.

    Looks at every job: 30 ms for 100,000. Answers without a count of tokens, or with none, tell nothing.
    """
    groups = tx.rows("tokens_spent", lane=question.lane, count_rehearsals=int(count_rehearsals))
    same = [group for group in groups if group.question_id == question.id]
    chosen = same or groups
    if not chosen:
        return None
    return TokensSpent(
        answers=sum(int(group.answers) for group in chosen),
        prompt_tokens=sum(int(group.prompt_tokens) for group in chosen),
        completion_tokens=sum(int(group.completion_tokens) for group in chosen),
        same_question=bool(same),
    )


def get_job(tx: Transaction, job_id: str, *, owner: str = "") -> JobRow:
    """Everything about one job; raises UnknownIdError.

    `owner`: who asks, whose batches alone tell what it is called and where it lies. "": all of them do.
    """
    row = tx.row("job", job_id=job_id)
    if row is None:
        raise UnknownIdError(f"no job {job_id!r}; `chartq results BATCH_ID` shows a batch's jobs")
    place = tx.row("place_of_job", job=row.id, owner=owner)
    shown = ResultRow._make(row[: len(ResultRow._fields)])
    if place is not None:
        shown = shown._replace(stored_image=place.image)
    return JobRow(
        shown=shown,
        question=questions.get(tx, row.question_id),
        custom_id=place and place.custom_id,
        batch_id=place and place.batch_id,
        image_sha256=row.image_sha256,
        execution_id=row.execution_id,
        losses=row.losses,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
    )


def job_states(tx: Transaction, job_ids: Collection[str]) -> dict[str, str]:
    """Job id -> status; those that there are not are left out."""
    return dict(tx.tuples("statuses_of_jobs", job_ids=list(job_ids)))


def results_page(
    tx: Transaction, batch: Batch, *, status: str, with_raw: bool, position: int, custom_id: str
) -> list[ResultRow]:
    """The batch's next rows in the order of submission, of one status or ("") of all."""
    after = {"position": position, "custom_id": custom_id, "page": PAGE}
    return _results(tx, "results_page", batch=batch.id, status=status, with_raw=int(with_raw), **after)


def results_window(tx: Transaction, batch: Batch, only: RowFilter, *, offset: int, limit: int) -> list[ResultRow]:
    """So many rows from this one on, in the order of submission, without the raw replies: 40 ms at 100,000."""
    return _results(tx, "results_window", batch=batch.id, skipped=offset, page=limit, **only.values())


def count_results(tx: Transaction, batch: Batch, only: RowFilter) -> int:
    """How many rows there are of this kind; looks at each."""
    [row] = tx.rows("count_results", batch=batch.id, **only.values())
    return int(row.found)


def unasked_page(
    tx: Transaction, batch: Batch, stage: Batch | None, charts: Batch | None, *, position: int, custom_id: str
) -> list[SourceAnswer]:
    """The batch's next answers that `stage` has no row about: none at all, or one about an earlier answer."""
    rows = tx.rows(
        "unasked_answers",
        batch=batch.id,
        stage=0 if stage is None else stage.id,
        charts=0 if charts is None else charts.id,
        position=position,
        custom_id=custom_id,
        page=PAGE,
    )
    return [SourceAnswer(**{**row._asdict(), "image": path_from_store(row.image)}) for row in rows]


def sources_of(tx: Transaction, batch: Batch, custom_ids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Custom id -> the job whose answer the row asks about, that answer's text, and where its picture lies."""
    found = tx.tuples("sources_of", batch=batch.id, custom_ids=list(custom_ids))
    return {custom_id: (job, text, image) for custom_id, job, text, image in found}


def latest(tx: Transaction, batch: Batch, limit: int, *, status: str = "finished") -> list[ResultRow]:
    """The rows of this status that ended last, the newest first: 50 ms in a batch of 100,000."""
    return _results(tx, "latest", batch=batch.id, status=status, limit=limit)


def calls(tx: Transaction, batch: Batch) -> CallsMade:
    """How many calls were made for the batch in its jobs' present lives, and how many of them were refused."""
    [row] = tx.rows("calls", batch=batch.id)
    return CallsMade(attempts=int(row.attempts or 0), refused=int(row.refused or 0))


def names_of_jobs(tx: Transaction, batch: Batch) -> dict[str, str]:
    """The batch's jobs, each with the name that it has there (one of them, if the same picture is in it twice)."""
    return dict(tx.tuples("names_of_jobs", batch=batch.id))


def failures(tx: Transaction, batch: Batch) -> list[tuple[str, JobError]]:
    """The batch's failed jobs with what went wrong, in the order of submission; one statement."""
    found = tx.tuples("failures", batch=batch.id)
    return [
        (job_id, JobError(type=type_ or "", message=message or "", status_code=status))
        for job_id, type_, message, status in found
    ]


def asked_by_others(tx: Transaction, batch: Batch) -> dict[str, int]:
    """How many of the batch's jobs were queued last by an earlier batch, by its id; most first."""
    return dict(tx.tuples("asked_by_others", batch=batch.id))


def _results(tx: Transaction, name: str, **values: Any) -> list[ResultRow]:
    return list(map(ResultRow._make, tx.tuples(name, **values)))
