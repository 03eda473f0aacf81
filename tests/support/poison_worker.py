"""A worker that dies by SIGKILL when it comes to one chart, as a bug in a decoder may do: `poison_worker.py NAME`.

Its heartbeat beats fast, so that others notice within seconds; all else is the real worker.
"""

import os
import signal
import sys
from collections.abc import Callable

from jobs.batches.session import Session
from jobs.config.settings import load_settings
from jobs.core.job import Question
from jobs.lanes import account_of
from jobs.ledger import StartedJob
from worker.engine.execute import ExecutionResult, Task
from worker.engine.lane_client import HeartbeatTiming, LaneClient
from worker.engine.worker import ChartWorker
from worker.hf.from_settings import client_config
from worker.hf_client import HuggingFaceClient
from worker.monitoring.logging_setup import configure_logging


class PoisonedTask(Task):
    """Dies of the chart that the command line names."""

    def perform(
        self, job: StartedJob, question: Question, *, suspect: bool = False, ready: Callable[[], object] = lambda: None
    ) -> ExecutionResult:
        if job.image.endswith(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().perform(job, question, suspect=suspect, ready=ready)


def main() -> None:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    config = client_config(settings)
    account = account_of(base_url=config.url_of("chat"), token=None, bill_to=None)
    task = PoisonedTask(
        client=HuggingFaceClient(config),
        chart_root=settings.chart_root,
        timeout_s=settings.vision_timeout_s,
        text_timeout_s=settings.vision_timeout_s,
        max_attempts=settings.max_retries + 1,
        retry_delay_s=settings.retry_delay_s,
    )
    with Session(settings) as session:
        worker = ChartWorker(
            connection=session.redis,
            ledger=session.ledger,
            task=task,
            lane_client_for=lambda name: LaneClient(
                session.redis,
                worker=name,
                accounts={"chat": account},
                limits=settings.hf_rate_limit,
                ceiling=None,
                timing=HeartbeatTiming(interval_s=0.5, lease_s=1.5),
                controls=session.ledger.controls,
            ),
            concurrency=8,
            grace_s=5.0,
        )
        worker.shutdown.listen_to_signals()
        worker.run()


if __name__ == "__main__":
    main()
