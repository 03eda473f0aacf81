"""chartq's worker whose task does nothing but say when it ran: `python -m benchmarks.noop_worker CONCURRENCY`.

All that is chartq's stays: permits, ledger, Redis, heartbeats, threads. Left out is what the peers' no-op leaves out
too: reading the picture, and the call.
"""

import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from jobs.batches.session import Session
from jobs.config.settings import load_settings
from jobs.core.job import Question
from jobs.ledger import StartedJob
from worker.engine.execute import ExecutionResult
from worker.engine.factory import build_worker
from worker.engine.policy import Done
from worker.hf.replies import Answer
from worker.monitoring.logging_setup import configure_logging

_RAW = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Up."}, "finish_reason": "stop"}]}


class NoTask:
    """Stands in for `worker.engine.execute.Task`."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks

    def perform(
        self, _job: StartedJob, _question: Question, *, suspect: bool = False, ready: Callable[[], object]
    ) -> ExecutionResult:
        ready()
        os.write(self._ticks, struct.pack("d", time.monotonic()))
        return ExecutionResult(outcome=Done(), answer=Answer(text="Up.", raw=_RAW), called=True)


def main() -> None:
    ticks = os.open(os.environ["BENCH_TICKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    settings = load_settings(env_file=None)
    configure_logging(settings.log_level, settings.log_format)
    with Session(settings) as session:
        worker: Any = build_worker(session, concurrency=int(sys.argv[1]), grace_s=5)
        worker._task = NoTask(ticks)
        worker.run()


if __name__ == "__main__":
    main()
