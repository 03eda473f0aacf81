"""What a worker has in its hands, without a worker: jobs, tasks, executions that have ended."""

import hashlib
from pathlib import Path
from typing import Any

from jobs.ledger import StartedJob
from worker.engine.exchange import Lease
from worker.engine.execute import ExecutionResult, Task
from worker.engine.policy import Outcome
from worker.engine.settlement import FinishedExecution
from worker.hf.client import HuggingFaceClient

LEASE = Lease(job="j", execution="e", queue="chat:org/model@b", lane="chat:org/model", account="a", generation="0.0")


def ending(
    outcome: Outcome,
    *,
    lease: Lease = LEASE,
    outage: bool = False,
    heard: bool = False,
    called: bool = True,
    latency_s: float = 1.5,
    **ended: Any,
) -> FinishedExecution:
    """An execution that has ended: in an `answer` or an `error`, if told."""
    result = ExecutionResult(outcome=outcome, called=called, latency_s=latency_s, **ended)
    return FinishedExecution(lease=lease, ended=result, outage=outage, heard=heard)


def started_job(image: str = "a.png", **changes: Any) -> StartedJob:
    """A job that was never asked before."""
    given = {"job_id": "j", "execution_id": "e", "question_id": "q", "image_sha256": "0" * 64, "batch_id": "b"}
    spent = {"attempts": 0, "throttled": 0, "losses": 0, "queued_at": 0.0}
    return StartedJob(image=image, **{**given, **spent, **changes})


def job_about(chart: Path, **changes: Any) -> StartedJob:
    """A job about the file as it is now."""
    return started_job(str(chart), image_sha256=hashlib.sha256(chart.read_bytes()).hexdigest(), **changes)


def task_of(client: HuggingFaceClient, **changes: Any) -> Task:
    """A task that asks this client."""
    given = {"chart_root": None, "timeout_s": 30, "text_timeout_s": 30, "max_attempts": 3, "retry_delay_s": 1}
    return Task(client=client, **{**given, **changes})
