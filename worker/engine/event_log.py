"""What the worker's log says of each execution, of gates that close, and of who has paused or limited what."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from jobs.core.controls import EVERYTHING, NO_CONTROLS, Controls
from jobs.core.job import model_of
from jobs.core.time_text import iso
from jobs.ledger import StartedJob
from worker.engine.exchange import Closing, Lease
from worker.engine.policy import Hold, NotBegun, Outcome, Throttled, Transient, Unreachable
from worker.engine.settlement import FinishedExecution
from worker.hf.errors import HFAPIError

log = logging.getLogger("chartq.worker")

#: For the log file alone: on stderr a job's end says enough.
details = logging.getLogger("chartq.details")


def log_started(lease: Lease, job: StartedJob) -> None:
    """A call is about to begin. The execution is what the provider gets as the call's `X-Amzn-Trace-Id`."""
    about = _about(lease, job.batch_id)
    log.debug("%s begins: execution %s", lease.job, lease.execution, extra={"event": "job begins", **about})
    details.info("%s started", lease.job, extra={"event": "job started", "attempt": job.attempts + 1, **about})


def log_ending(ending: FinishedExecution) -> None:
    """A line, with `job_id`, `batch_id`, `model` and what else is known for JSON logs."""
    lease, ended = ending.lease, ending.ended
    outcome = type(ended.outcome).__name__.lower()
    about = {
        "event": f"job {outcome}",
        **_about(lease, ending.batch_id),
        "latency_s": round(ended.latency_s, 3) if ended.called else None,
        **_trouble(ended.error, ended.outcome),
    }
    if isinstance(ended.outcome, NotBegun):
        log.debug("%s goes back, not begun", lease.job, extra=about)
    elif ended.error is None:
        log.info("%s in %.2f s", lease.job, ended.latency_s, extra=about)
    elif isinstance(ended.outcome, Hold):
        log.error("%s on hold: %s", about["model"], ended.outcome.message, extra=about)
    else:
        level = logging.INFO if isinstance(ended.outcome, Throttled | Unreachable) else logging.WARNING
        log.log(level, "%s %s: %s", lease.job, outcome, ended.error, extra=about)


def log_closing(closing: Closing) -> None:
    """A refusal or an outage has closed a gate for everybody."""
    model, until = model_of(closing.lane), iso(closing.until_s)
    about = {"event": "gate closed", "model": model, "why": closing.why, "until": until}
    log.info("%s: no call before %s (%s)", model, until, closing.why, extra=about)


def controls_told(read: Callable[[], Controls]) -> Callable[[], Controls]:
    """`read`, and a line in the log for all that has changed since it was called last."""
    known = NO_CONTROLS

    def read_and_tell() -> Controls:
        nonlocal known
        before, known = known, read()
        for subject, line in changes(before, known, time.time()):
            log.info("%s", line, extra={"event": "control", "subject": subject})
        return known

    return read_and_tell


def changes(before: Controls, after: Controls, now: float) -> Iterator[tuple[str, str]]:
    """What is controlled in another way than before, each with a line about it."""
    for subject, pause in _changed(before.pauses, after.pauses):
        name = "everything" if subject == EVERYTHING else subject
        yield subject, f"{name}: {pause.message(now) if pause else 'not paused any more'}"
    for model, limit in _changed(before.limits, after.limits):
        yield f"model {model}", f"model {model}: {f'limit {limit.text()}' if limit else 'no limit any more'}"


def _about(lease: Lease, batch_id: str | None) -> dict[str, Any]:
    return {"job_id": lease.job, "batch_id": batch_id, "model": model_of(lease.lane)}


def _trouble(error: Exception | None, outcome: Outcome) -> dict[str, Any]:
    if error is None:
        return {}
    known: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, HFAPIError):
        known |= {"status_code": error.status_code, "hint_s": error.hint_s}
    if isinstance(outcome, Transient):
        known["again_in_s"] = None if outcome.last else round(outcome.wait_s, 1)
    return known


def _changed(before: Any, after: Any) -> Iterator[tuple[str, Any]]:
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield key, after.get(key)
