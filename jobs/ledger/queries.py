"""What people ask about: where a batch stands, its results, one job. Nothing here writes."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, and_, case, exists, func, literal, or_, select, true

from jobs.core.errors import UnknownIdError
from jobs.core.job import OPEN_STATES, Question
from jobs.ledger.columns import clean
from jobs.ledger.database import Store
from jobs.ledger.member_status import standing, standing_of
from jobs.ledger.questions import Questions
from jobs.ledger.records import Batch, CallsMade, Counts, JobError, JobRow, ResultRow, TokensSpent
from jobs.ledger.schema import AnyRow, answers, batches, jobs, members, questions

#: Results read at a time: memory stays flat, and no transaction stays open while the caller writes a file.
_PAGE = 200


def answered(connection: Connection, *, job_ids: Sequence[str], count_rehearsals: bool) -> set[str]:
    """Those of the jobs that have an answer which counts (see submission.Policy)."""
    counts = true() if count_rehearsals else jobs.c.rehearsal.is_(False)
    has_answer = exists().where(answers.c.job == jobs.c.id)
    statement = select(jobs.c.job_id).where(jobs.c.job_id.in_(job_ids), has_answer, counts)
    return set(connection.execute(statement).scalars())


def tokens_spent(connection: Connection, question: Question, *, count_rehearsals: bool) -> TokensSpent | None:
    """What answers took, those to this question if there are any, else those of its lane.

    Looks at every job: 30 ms for 100,000. Answers without a count of tokens, or with none, tell nothing.
    """
    counts = true() if count_rehearsals else jobs.c.rehearsal.is_(False)
    of_lane = select(questions.c.id).where(questions.c.lane == question.lane)
    groups = connection.execute(
        select(
            jobs.c.question_id,
            func.count().label("answers"),
            func.sum(jobs.c.prompt_tokens).label("prompt_tokens"),
            func.sum(func.coalesce(jobs.c.completion_tokens, 0)).label("completion_tokens"),
        )
        .where(jobs.c.status == "finished", jobs.c.prompt_tokens > 0, counts, jobs.c.question_id.in_(of_lane))
        .group_by(jobs.c.question_id)
    ).all()
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


def counts(connection: Connection, batch_rows: Sequence[int], *, recent_since: float) -> dict[int, Counts]:
    """Where each of the batches (row ids) stands, in one statement, hence at one moment."""
    groups: dict[int, list[AnyRow]] = {row: [] for row in batch_rows}
    # Sorting by one column more costs SQLite a third: a single batch, which is looked at often, goes without.
    many = [members.c.batch] if len(batch_rows) > 1 else []
    which: ColumnElement[int] = members.c.batch if many else literal(batch_rows[0]).label("batch")
    for group in connection.execute(
        select(
            which,
            jobs.c.status,
            members.c.ended,
            func.count().label("rows"),
            func.sum(jobs.c.prompt_tokens).label("prompt_tokens"),
            func.sum(jobs.c.completion_tokens).label("completion_tokens"),
            func.sum(case((jobs.c.finished_at >= recent_since, 1), else_=0)).label("recent"),
            func.max(jobs.c.finished_at).label("last_ended_at"),
        )
        .join(jobs, jobs.c.id == members.c.job)
        .where(members.c.batch.in_(batch_rows))
        .group_by(*many, jobs.c.status, members.c.ended)
    ):
        groups[group.batch].append(group)
    return {row: _counts(found) for row, found in groups.items()}


def _counts(groups: Sequence[AnyRow]) -> Counts:
    """A batch's figures from its rows, grouped by status and ending."""
    rows: Counter[str] = Counter()
    for group in groups:
        rows[standing_of(group.status, group.ended)] += group.rows
    finished = [group for group in groups if standing_of(group.status, group.ended) == "finished"]
    failed = [group for group in groups if standing_of(group.status, group.ended) == "failed"]
    return Counts(
        total=rows.total(),
        **rows,
        prompt_tokens=sum(int(group.prompt_tokens or 0) for group in finished),
        completion_tokens=sum(int(group.completion_tokens or 0) for group in finished),
        recent_ended=sum(int(group.recent) for group in finished + failed),
        last_ended_at=max((group.last_ended_at for group in finished + failed), default=None),
    )


def get_job(connection: Connection, known: Questions, job_id: str) -> JobRow:
    """Everything about one job; raises UnknownIdError."""
    row = connection.execute(
        select(jobs, answers.c.text, answers.c.raw)
        .outerjoin(answers, and_(answers.c.job == jobs.c.id, jobs.c.status == "finished"))
        .where(jobs.c.job_id == clean(job_id))
    ).one_or_none()
    if row is None:
        raise UnknownIdError(f"no job {job_id!r}; `chartq results BATCH_ID` shows a batch's jobs")
    place = connection.execute(
        select(members.c.custom_id, batches.c.batch_id)
        .join(batches, batches.c.id == members.c.batch)
        .where(members.c.job == row.id)
        .order_by(members.c.batch.desc(), members.c.position)
        .limit(1)
    ).one_or_none()
    return JobRow(
        **_common(row, row.status),
        question=known.get(connection, row.question_id),
        custom_id=place and place.custom_id,
        batch_id=place and place.batch_id,
        image_sha256=row.image_sha256,
        execution_id=row.execution_id,
        losses=row.losses,
        rehearsal=row.rehearsal,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
    )


def job_states(connection: Connection, job_ids: Collection[str]) -> dict[str, str]:
    """Job id -> status of those that there are."""
    statement = select(jobs.c.job_id, jobs.c.status).where(jobs.c.job_id.in_(job_ids))
    return {row.job_id: row.status for row in connection.execute(statement)}


def results(store: Store, known: Questions, batch: Batch, *, status: str | None) -> Iterator[ResultRow]:
    """The batch's rows in the order of submission, of one status or of all."""
    last: tuple[int, str] | None = None
    while page := store.read(partial(_page, known=known, batch=batch, status=status, last=last)):
        yield from page
        last = (page[-1].position, page[-1].custom_id)


def latest(connection: Connection, known: Questions, batch: Batch, *, status: str, limit: int) -> list[ResultRow]:
    """The batch's rows of this status that ended last, the newest first."""
    newest = (
        select(members.c.position, members.c.job)  # no more than the index holds
        .join(jobs, jobs.c.id == members.c.job)
        .where(members.c.batch == batch.id, standing == status)
        .order_by(jobs.c.finished_at.desc())
        .limit(limit)
        .subquery()
    )
    chosen = and_(members.c.position == newest.c.position, members.c.job == newest.c.job)
    page = _rows(batch).join(newest, chosen).limit(limit).subquery()
    statement = _with_answers(page).order_by(page.c.finished_at.desc(), page.c.position.desc())
    return _results(connection, known, statement)


def calls(connection: Connection, batch: Batch) -> CallsMade:
    """The calls made for the batch's jobs in their present lives."""
    statement = select(func.sum(jobs.c.attempts), func.sum(jobs.c.throttled)).join(members, members.c.job == jobs.c.id)
    attempts, refused = connection.execute(statement.where(members.c.batch == batch.id)).one()
    return CallsMade(attempts=int(attempts or 0), refused=int(refused or 0))


def names_of_jobs(connection: Connection, batch: Batch) -> dict[str, str]:
    """Job id -> custom id of the batch's rows; of several charts that are one job, one."""
    statement = select(jobs.c.job_id, members.c.custom_id).join(members, members.c.job == jobs.c.id)
    return {row.job_id: row.custom_id for row in connection.execute(statement.where(members.c.batch == batch.id))}


def _page(
    connection: Connection, *, known: Questions, batch: Batch, status: str | None, last: tuple[int, str] | None
) -> list[ResultRow]:
    rows = _rows(batch).order_by(members.c.position, members.c.custom_id).limit(_PAGE)
    if last is not None:
        position, custom_id = last
        rows = rows.where(
            members.c.position >= position,
            or_(members.c.position > position, members.c.custom_id > custom_id),
        )
    if status is not None:
        rows = rows.where(standing == status)
    page = rows.subquery()  # answers are looked up for these rows, never joined as a whole
    return _results(connection, known, _with_answers(page).order_by(page.c.position, page.c.custom_id))


def _rows(batch: Batch) -> Select[Any]:
    """The batch's rows without their answers."""
    return (
        select(
            members.c.position,
            members.c.custom_id,
            members.c.image,
            members.c.job,
            jobs.c.question_id,
            standing.label("standing"),
            jobs.c.job_id,
            jobs.c.attempts,
            jobs.c.throttled,
            jobs.c.error_type,
            jobs.c.error_message,
            jobs.c.status_code,
            jobs.c.prompt_tokens,
            jobs.c.completion_tokens,
            jobs.c.latency_s,
            jobs.c.request_id,
            jobs.c.provider,
            jobs.c.rehearsal,
            jobs.c.started_at,
            jobs.c.finished_at,
        )
        .join(jobs, jobs.c.id == members.c.job)
        .where(members.c.batch == batch.id)
    )


def _with_answers(page: Subquery) -> Select[Any]:
    has_answer = and_(answers.c.job == page.c.job, page.c.standing == "finished")
    return select(page, answers.c.text, answers.c.raw).select_from(page).outerjoin(answers, has_answer)


def _results(connection: Connection, known: Questions, statement: Select[Any]) -> list[ResultRow]:
    rows = connection.execute(statement).all()
    asked = known.get_all(connection, {row.question_id for row in rows})
    return [_result(row, asked[row.question_id]) for row in rows]


def _result(row: AnyRow, question: Question) -> ResultRow:
    return ResultRow(
        **_common(row, row.standing),
        position=row.position,
        custom_id=row.custom_id,
        model=question.model,
        prompt=question.prompt,
        rehearsal=row.rehearsal,
    )


def _common(row: AnyRow, status: str) -> dict[str, Any]:
    """What a job and a row of results show alike: an answer only when finished, an error only when not."""
    finished = status == "finished"
    return {
        "job_id": row.job_id,
        "image": row.image,
        "status": status,
        "attempts": row.attempts,
        "throttled": row.throttled,
        "error": _error(row, status),
        "text": row.text,
        "raw": None if row.raw is None else json.loads(row.raw),
        "prompt_tokens": row.prompt_tokens if finished else None,
        "completion_tokens": row.completion_tokens if finished else None,
        "latency_s": row.latency_s if finished else None,
        "request_id": row.request_id if finished else None,
        "provider": row.provider if finished else None,
        "finished_at": None if status in OPEN_STATES else row.finished_at,
    }


def _error(row: AnyRow, status: str) -> JobError | None:
    # Queued again, not started since: the error is of the job's last life, and of the rows that failed then.
    past_life = row.started_at is None and status != "failed"
    if row.error_type is None or status == "finished" or past_life:
        return None
    return JobError(type=row.error_type, message=row.error_message or "", status_code=row.status_code)
