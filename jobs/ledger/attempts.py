"""The worker's side: jobs started, what became of them, and which are still open."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, case, exists, func, select, update

from jobs.ledger.database import upserting
from jobs.ledger.failure_holds import count_failures
from jobs.ledger.member_status import has_claim, is_wanted
from jobs.ledger.records import Batch, Lost, OpenJob, StartedJob
from jobs.ledger.reports import AnswerRow, Change, Finished, WorkerLost
from jobs.ledger.schema import answers, batches, job_is_open, jobs, members, questions
from jobs.ledger.state_machine import State, after

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_state_names = [field.name for field in fields(State)]

_newest_claim = select(func.max(members.c.batch)).where(members.c.job == jobs.c.id, is_wanted).scalar_subquery()

# Statements of the hot path are built once: building one costs more than running it.
_startable = (
    select(
        jobs.c.id,
        jobs.c.job_id,
        jobs.c.question_id,
        jobs.c.image_sha256,
        jobs.c.image,
        jobs.c.attempts,
        jobs.c.throttled,
        jobs.c.losses,
        jobs.c.queued_at,
        batches.c.batch_id,
    )
    .select_from(jobs.join(batches, batches.c.id == _newest_claim))
    .where(jobs.c.job_id.in_(bindparam("job_ids", expanding=True)), job_is_open)
    .order_by(jobs.c.id)
    .with_for_update(of=jobs)
)
_start = (
    update(jobs)
    .where(jobs.c.id == bindparam("row_id"))
    .values(status="started", execution_id=bindparam("execution"), started_at=bindparam("now"))
)
_states = (
    select(jobs.c.job_id, *(jobs.c[name] for name in _state_names))
    .where(jobs.c.job_id.in_(bindparam("job_ids", expanding=True)))
    .order_by(jobs.c.id)
    .with_for_update()
)
_write_state = (
    update(jobs)
    .where(jobs.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}") for name in _state_names if name != "id"})
)
_spent = bindparam("spent", type_=Integer)
_give_back = (
    update(jobs)
    .where(jobs.c.job_id == bindparam("wanted"), job_is_open)
    .values(attempts=case((jobs.c.attempts > _spent, jobs.c.attempts - _spent), else_=0))
)


def start(connection: Connection, claims: Sequence[tuple[str, str]], now: float) -> dict[str, StartedJob]:
    """Executions (job id, execution id) take over their jobs, but for those that have ended or nobody wants now."""
    executions = dict(claims)
    rows = connection.execute(_startable, {"job_ids": list(executions)}).all()
    if rows:
        taken = [{"row_id": row.id, "execution": executions[row.job_id], "now": now} for row in rows]
        connection.execute(_start, taken)
    return {
        row.job_id: StartedJob(
            job_id=row.job_id,
            execution_id=executions[row.job_id],
            question_id=row.question_id,
            image_sha256=row.image_sha256,
            image=row.image,
            attempts=row.attempts,
            throttled=row.throttled,
            losses=row.losses,
            queued_at=row.queued_at,
            batch_id=row.batch_id,
        )
        for row in rows
    }


def record(connection: Connection, changes: Sequence[Change], now: float) -> dict[str, State]:
    """Write reports, in their order. Returns the jobs that changed, as they are now."""
    states = _locked_states(connection, {change.job_id for change in changes})
    changed: dict[str, State] = {}
    given: dict[int, AnswerRow] = {}
    for change in changes:
        state = states.get(change.job_id)
        new = None if state is None else after(state, change, now)
        if new is None:
            continue
        states[change.job_id] = changed[change.job_id] = new
        if isinstance(change, Finished):
            given[new.id] = change.answer
    _write_states(connection, changed.values())
    _write_answers(connection, given)
    if failed := [state.id for state in changed.values() if state.status == "failed"]:
        count_failures(connection, failed, now)
    return changed


def lose(connection: Connection, losses: Sequence[tuple[str, str]], *, max_losses: int, now: float) -> Lost:
    """Executions (job id, execution id) whose worker is gone: their jobs run again, or fail at last."""
    reports = [
        WorkerLost(job_id=job_id, execution_id=execution_id, max_losses=max_losses) for job_id, execution_id in losses
    ]
    changed = record(connection, reports, now)
    # Written before, by whoever was then kept from telling Redis: they still have to run alone.
    unheard = connection.execute(
        select(jobs.c.job_id).where(
            jobs.c.job_id.in_([job_id for job_id, _ in losses if job_id not in changed]),
            jobs.c.status == "queued",
            jobs.c.losses > 0,
        )
    ).scalars()
    return Lost(
        again=[*(job_id for job_id, state in changed.items() if state.status == "queued"), *unheard],
        failed=[job_id for job_id, state in changed.items() if state.status == "failed"],
    )


def give_back_attempts(connection: Connection, spent: Mapping[str, int]) -> None:
    """Attempts that an outage had cost are not held against jobs that are still open."""
    if spent:
        values = [{"wanted": job_id, "spent": spent[job_id]} for job_id in sorted(spent)]
        connection.execute(_give_back, values)


def images_of(connection: Connection, job_id: str) -> list[str]:
    """All paths under which the job's image was submitted, the newest first."""
    newest = connection.execute(select(jobs.c.image).where(jobs.c.job_id == job_id)).scalars()
    others = connection.execute(
        select(members.c.image)
        .join(jobs, jobs.c.id == members.c.job)
        .where(jobs.c.job_id == job_id)
        .order_by(members.c.batch.desc(), members.c.position)
    ).scalars()
    return list(dict.fromkeys([*newest, *others]))


def open_jobs(connection: Connection, after_id: int, limit: int, batch: Batch | None) -> list[OpenJob]:
    """The next open jobs by row id: a page of all of them, or of those that one batch claims."""
    statement = (
        select(
            jobs.c.id,
            jobs.c.job_id,
            jobs.c.status,
            questions.c.lane,
            batches.c.batch_id,
            batches.c.priority,
            jobs.c.execution_id,
            jobs.c.started_at,
            jobs.c.losses,
        )
        .join(questions, questions.c.id == jobs.c.question_id)
        .outerjoin(batches, batches.c.id == _newest_claim)
        .where(jobs.c.id > after_id, job_is_open)
        .order_by(jobs.c.id)
        .limit(limit)
    )
    if batch is not None:
        claimed = exists().where(members.c.job == jobs.c.id, members.c.batch == batch.id, has_claim)
        statement = statement.where(claimed)
    return [OpenJob(**row) for row in connection.execute(statement).mappings()]


def _locked_states(connection: Connection, job_ids: set[str]) -> dict[str, State]:
    rows = connection.execute(_states, {"job_ids": sorted(job_ids)})
    # By position, not by name: this runs once for every call that a worker makes.
    return {row[0]: State(**dict(zip(_state_names, row[1:], strict=True))) for row in rows}


def _write_states(connection: Connection, states: Iterable[State]) -> None:
    values: list[dict[str, Any]] = [
        {"row_id" if name == "id" else f"new_{name}": getattr(state, name) for name in _state_names} for state in states
    ]
    if values:
        connection.execute(_write_state, values)


def _write_answers(connection: Connection, given: Mapping[int, AnswerRow]) -> None:
    if not given:
        return
    insert = upserting(connection, answers)
    statement = insert.on_conflict_do_update(
        index_elements=["job"], set_={"text": insert.excluded.text, "raw": insert.excluded.raw}
    )
    values = [{"job": job, "text": answer.text, "raw": _json(answer.raw)} for job, answer in given.items()]
    connection.execute(statement, values)


def _json(value: Any) -> str:
    """A reply as JSON that everybody reads, in the server's order: NaN and infinities, which it may hold,
    become null, lone surrogates U+FFFD.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
