"""What the worker's log says of each execution."""

import logging

from jobs.lanes.gates import model_of
from worker.outcome import Hold, Throttled, Unreachable
from worker.settling import Ending

log = logging.getLogger("chartq.worker")


def log_ending(ending: Ending) -> None:
    """A line, with `job_id`, `batch_id` and `model` for JSON logs."""
    claim, ended = ending.claim, ending.ended
    about = {"job_id": claim.job, "batch_id": claim.queue.rpartition("@")[2], "model": model_of(claim.lane)}
    outcome = type(ended.outcome).__name__.lower()
    event = f"job {outcome}"
    if ended.error is None:
        log.info("%s in %.2f s", claim.job, ended.latency_s, extra={"event": event, **about})
    elif isinstance(ended.outcome, Hold):
        log.error("%s on hold: %s", about["model"], ended.outcome.message, extra={"event": event, **about})
    else:
        level = logging.INFO if isinstance(ended.outcome, Throttled | Unreachable) else logging.WARNING
        log.log(level, "%s %s: %s", claim.job, outcome, ended.error, extra={"event": event, **about})
