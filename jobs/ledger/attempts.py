"""The worker's side: jobs started, what became of them, and which are still open."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.ledger import counts
from jobs.ledger.columns import path_from_store
from jobs.ledger.failure_holds import check_limits
from jobs.ledger.records import Batch, OpenJob, StartedJob
from jobs.ledger.reports import AnswerRow, Change, Finished, WorkerLost
from jobs.ledger.state_machine import State, after
from jobs.ledger.transaction import Row, Transaction

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

#: `json.dumps` would make one for each answer.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

#: Ends transactions of ours on PostgreSQL whose process says nothing: it is frozen, or its host is gone, and holds its
#: jobs' rows. The server's own time-out for that stands still after psycopg's executemany, which ends with a Flush.
_END_SILENT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name = current_setting('application_name') AND xact_start IS NOT NULL
    AND wait_event = 'ClientRead' AND clock_timestamp() - state_change > interval '10 s'
"""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What became of jobs that were lost with their worker."""

    again: list[str]
    failed: list[str]


def start(tx: Transaction, claims: Sequence[tuple[str, str]], now: float) -> dict[str, StartedJob]:
    """Give jobs to executions: (job id, execution id).

    Left out are jobs that have ended, are unknown, or are wanted by nobody but batches on hold.
    """
    executions = dict(claims)
    rows = tx.rows("startable_jobs", job_ids=list(executions))
    wanted = _wanted(tx, rows)
    taken = [row for row in rows if row.id in wanted]
    tx.run_many("start_job", [{"job": row.id, "execution": executions[row.job_id], "now": now} for row in taken])
    counts.note_starts(tx, [(row.id, row.status) for row in taken])
    return {
        row.job_id: StartedJob(
            job_id=row.job_id,
            execution_id=executions[row.job_id],
            question_id=row.question_id,
            image_sha256=row.image_sha256,
            image=path_from_store(row.image),
            attempts=row.attempts,
            throttled=row.throttled,
            losses=row.losses,
            queued_at=row.queued_at,
            batch_id=wanted[row.id],
        )
        for row in taken
    }


def _wanted(tx: Transaction, rows: Sequence[Row]) -> dict[int, str]:
    """The jobs (row ids) that a batch wants now, each with the newest such batch: not those on hold themselves."""
    found = {row.job: row.batch_id for row in tx.rows("claimants", jobs=[row.id for row in rows])} if rows else {}
    return {job: batch_id for job, batch_id in found.items() if batch_id is not None}


def record(tx: Transaction, changes: Sequence[Change], now: float) -> dict[str, State]:
    """Write what became of executions, in this order. Returns the jobs that changed, as they are now.

    Batches whose limit of failures is reached go on hold with it.
    """
    states = _locked_states(tx, {change.job_id for change in changes})
    before = dict(states)
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
    if changed:
        tx.run_many("write_state", [state._asdict() for state in changed.values()])
        tx.run_many("put_answer", [{"job": job, "text": one.text, "raw": _json(one.raw)} for job, one in given.items()])
        noted = counts.note_changes(tx, [(before[job_id], state) for job_id, state in changed.items()], now)
        check_limits(tx, noted, now)
    return changed


def lose(tx: Transaction, losses: Sequence[tuple[str, str]], *, max_losses: int, now: float) -> Lost:
    """Take jobs from executions (job id, execution id) that died; more than `max_losses` fail a job.

    PostgreSQL: transactions that such a worker has left open are ended first.
    """
    if tx.dialect == "postgresql":
        tx.execute(_END_SILENT)
    reports = [
        WorkerLost(job_id=job_id, execution_id=execution_id, max_losses=max_losses) for job_id, execution_id in losses
    ]
    changed = record(tx, reports, now)
    # Written before, by whoever was then kept from telling Redis: they still have to run alone.
    unheard = tx.values("lost_before", job_ids=[job_id for job_id, _ in losses if job_id not in changed])
    return Lost(
        again=[*(job_id for job_id, state in changed.items() if state.status == "queued"), *unheard],
        failed=[job_id for job_id, state in changed.items() if state.status == "failed"],
    )


def give_back_attempts(tx: Transaction, spent: Mapping[str, int]) -> None:
    """Take attempts (job id -> how many) off jobs that are still open."""
    tx.run_many("give_back_attempts", [{"job_id": job_id, "spent": spent[job_id]} for job_id in sorted(spent)])


def images_of(tx: Transaction, job_id: str) -> list[str]:
    """All paths under which a job's image was submitted, the newest first."""
    return list(dict.fromkeys(map(path_from_store, tx.values("images_of", job_id=job_id))))


def open_jobs(tx: Transaction, after_id: int, limit: int, *, batch: Batch | None = None) -> list[OpenJob]:
    """The next open jobs by row id, above `after_id` (0: from the first): of all, or of those that a batch claims."""
    rows = tx.rows("open_jobs", after=after_id, page=limit, batch=0 if batch is None else batch.id)
    return [OpenJob(**row._asdict()) for row in rows]


def _locked_states(tx: Transaction, job_ids: set[str]) -> dict[str, State]:
    rows = tx.tuples("job_states", job_ids=sorted(job_ids))
    # By position, not by name: this runs once for every call that a worker makes.
    return {row[0]: State._make(row[1:]) for row in rows}


def _json(value: Any) -> str:
    """A reply as JSON that everybody reads, in the server's order: NaN and infinities, which it may hold,
    become null, lone surrogates U+FFFD. Spelled as results are, which take it as it stands (jobs.core.text.as_dumped).
    """
    try:
        text = _encoder.encode(value)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(plain, ensure_ascii=False)
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
