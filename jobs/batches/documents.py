"""The JSON documents of the contract, from the ledger's rows and the gates."""

from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from jobs.batches.eta import Pace, eta_s
from jobs.batches.shapes import (
    ENDED_BATCH,
    AnswerDocument,
    BatchDocument,
    BatchState,
    ErrorDocument,
    HoldDocument,
    JobDocument,
    UsageDocument,
)
from jobs.core.controls import NO_CONTROLS, PAUSED, Controls
from jobs.core.places import split_pictures
from jobs.core.text import as_dumped, dumps, one_line_json
from jobs.core.time_text import iso
from jobs.ledger import Batch, Counts, JobError, JobRow, ResultRow
from jobs.schemas import parsed_answer

if TYPE_CHECKING:
    from jobs.lanes import Gate

#: Shorter waits for a permit are the normal pace of a budget, not a closed lane.
_SHORTEST_CLOSURE_S = 1.0


def batch_document(
    batch: Batch, counts: Counts, gates: "Sequence[Gate]", *, now: float, controls: Controls = NO_CONTROLS
) -> BatchDocument:
    """`status BATCH --json`. `gates`: those of the batch's lane that count now; `controls`: what is paused.

    `now` is by Redis's clock, as all that the ledger has.
    """
    open_jobs = counts.open
    hold = _hold(batch, gates, controls, now) if open_jobs else None
    status = _status(batch, counts, open_jobs, held=hold is not None)
    ended = status in ENDED_BATCH
    pace = Pace(
        recent_ended=counts.recent_ended, lately_ended=counts.lately_ended, age_s=max(1.0, now - batch.created_at)
    )
    document: BatchDocument = {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "model": batch.question.model,
        "status": status,
        "request_counts": {
            "total": counts.total,
            "queued": counts.queued,
            "started": counts.started,
            "scheduled": counts.scheduled,
            "finished": counts.finished,
            "failed": counts.failed,
            "canceled": counts.canceled,
        },
        "hold": hold,
        "resume_at": None if ended or hold else iso(lane_opens_at(gates)),
        "eta_s": None if ended or hold else eta_s(open_jobs, gates, pace),
        "usage": {"prompt_tokens": counts.prompt_tokens, "completion_tokens": counts.completion_tokens},
        "created_at": iso(batch.created_at),
        "finished_at": iso(finished_at(batch, counts)) if ended else None,
        "from": batch.source,
        "cut_off": counts.cut_off,
        "prompt": batch.question.prompt,
    }
    if batch.sampled_of is not None:
        document["sample_of"] = batch.sampled_of
    return document


def job_document(row: JobRow) -> JobDocument:
    """`status JOB --json`."""
    shown = row.shown
    return {
        "job_id": shown.job_id,
        "custom_id": row.custom_id,
        "image": image_document(shown.image),
        "model": shown.model,
        "prompt": shown.prompt,
        "status": shown.status,
        "attempts": shown.attempts,
        "throttled": shown.throttled,
        "error": _error(shown.error),
        "result": _result(shown),
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(shown.finished_at),
    }


def result_document(row: ResultRow, *, structured: bool = False) -> dict[str, Any]:
    """One line of `results`; with `answer`, the text's JSON value, where the question asked for a schema's fields."""
    return {
        "job_id": row.job_id,
        "custom_id": row.custom_id,
        "image": image_document(row.image),
        "model": row.model,
        "prompt": row.prompt,
        "status": row.status,
        "text": row.text,
        **({"answer": parsed_answer(row.text)} if structured else {}),
        "raw": row.raw,
        "error": _error(row.error),
        "attempts": row.attempts,
        "throttled": row.throttled,
        "usage": _usage(row) if row.status == "finished" else None,
        "latency_s": row.latency_s,
        "request_id": row.request_id,
        "provider": row.provider,
        "finished_at": iso(row.finished_at),
        "rehearsal": bool(row.rehearsal) if row.status == "finished" else None,
        "finish_reason": row.finish_reason,
        "sent": row.sent,
    }


def result_line(row: ResultRow, *, structured: bool = False) -> str:
    """`dumps(result_document(row))`, quickly: a reply is not read to be written again."""
    finished = row.status == "finished"
    answer = f' "answer": {dumps(parsed_answer(row.text))},' if structured else ""
    raw = "null" if row.raw_json is None else as_dumped(row.raw_json)
    error = "null" if row.error_type is None else dumps(_error(row.error))
    usage, rehearsal = "null", "null"
    if finished:
        tokens = f'"prompt_tokens": {_number(row.prompt_tokens)}, "completion_tokens": {_number(row.completion_tokens)}'
        usage, rehearsal = f"{{{tokens}}}", "true" if row.rehearsal else "false"
    image = image_document(row.image)
    return one_line_json(
        f'{{"job_id": "{row.job_id}", "custom_id": {_text(row.custom_id)}, '
        f'"image": {dumps(image) if isinstance(image, list) else _text(image)}, '
        f'"model": {_text(row.model)}, "prompt": {_text(row.prompt)}, "status": "{row.status}", '
        f'"text": {_text(row.text)},{answer} "raw": {raw}, "error": {error}, "attempts": {row.attempts}, '
        f'"throttled": {row.throttled}, "usage": {usage}, "latency_s": {_number(row.latency_s)}, '
        f'"request_id": {_text(row.request_id)}, "provider": {_text(row.provider)}, '
        f'"finished_at": {_text(iso(row.finished_at))}, "rehearsal": {rehearsal}, '
        f'"finish_reason": {_text(row.finish_reason)}, "sent": {row.sent_json or "null"}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)


def image_document(stored: str) -> str | list[str] | None:
    """Where the picture lies; several are a list, text alone has none."""
    pictures = split_pictures(stored)
    return pictures if len(pictures) > 1 else pictures[0] if pictures else None


def _status(batch: Batch, counts: Counts, open_jobs: int, *, held: bool) -> BatchState:
    if held:
        return "on_hold"
    if open_jobs or (batch.sealed_at is None and batch.canceled_at is None):
        return "in_progress"
    if batch.canceled_at is not None and (counts.canceled or not counts.total):
        return "canceled"
    return "completed_with_errors" if counts.failed or counts.canceled else "completed"


def lane_hold(gates: "Sequence[Gate]") -> HoldDocument | None:
    """Why nothing is called for in the lane of these gates: it is on hold only when every one of them is."""
    if not gates or not all(gate.held for gate in gates):
        return None
    first = min(gates, key=lambda gate: gate.since_s or 0.0)
    return {"reason": first.reason, "message": first.message, "since": iso(first.since_s)}


def lane_opens_at(gates: "Sequence[Gate]") -> float | None:
    """When the lane's first gate lets a call through again; None if one does now, or nobody knows."""
    usable = [gate for gate in gates if not gate.held]
    if not usable:
        return None
    soonest_s = min(gate.opens_in_s for gate in usable)
    return usable[0].now_s + soonest_s if soonest_s >= _SHORTEST_CLOSURE_S else None


def _hold(batch: Batch, gates: "Sequence[Gate]", controls: Controls, now: float) -> HoldDocument | None:
    """On hold is a batch only when its lane is, or when it was put on hold itself."""
    own = batch.hold
    if own is not None and not own.is_pause:
        return {"reason": own.reason, "message": own.message, "since": iso(own.since)}
    pause = own.pause if own is not None and not own.pause.is_over(now) else controls.pause_of(batch.question.lane, now)
    if pause is None:
        return lane_hold(gates)
    ahead_s = gates[0].ahead_s if gates else 0.0
    shown = pause.told_to(ahead_s)
    return {"reason": PAUSED, "message": shown.message(now + ahead_s), "since": iso(shown.since)}


def finished_at(batch: Batch, counts: Counts) -> float:
    """When the last row ended; a batch whose answers were all there ended when it was submitted.

    A cancel ends only what it took something from, or what was never submitted whole: of another one it comes too late.
    """
    canceled_at = batch.canceled_at if counts.canceled or batch.sealed_at is None else None
    ends = (counts.last_ended_at, canceled_at, batch.sealed_at)
    return max((at for at in ends if at is not None), default=batch.created_at)


def _error(error: JobError | None) -> ErrorDocument | None:
    if error is None:
        return None
    return {"type": error.type, "message": error.message, "status_code": error.status_code}


def _result(row: ResultRow) -> AnswerDocument | None:
    if row.text is None:
        return None
    return {
        "text": row.text,
        "raw": row.raw,
        "usage": _usage(row),
        "latency_s": row.latency_s,
        "request_id": row.request_id,
        "provider": row.provider,
        "rehearsal": bool(row.rehearsal),
        "finish_reason": row.finish_reason,
        "sent": row.sent,
    }


def _usage(row: ResultRow) -> UsageDocument:
    return {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.completion_tokens}
