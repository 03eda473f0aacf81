"""`worker`: work on what is queued. Loads as little as it can: there may be many of them, for days."""

import click

from jobs.batches.session import Session
from jobs.cli.values import Count
from jobs.config.log_dir import log_folder
from worker.cli.options import concurrency_option, grace_option
from worker.engine.factory import build_worker
from worker.engine.hooks import Hooks
from worker.engine.webhooks import webhooks_told
from worker.hf.from_settings import worker_settings
from worker.monitoring.exporter import LOCALHOST, metered
from worker.monitoring.liveness import liveness_file
from worker.monitoring.logging_setup import configure_logging


@click.command()
@concurrency_option
@click.option("--burst", is_flag=True, help="Leave when there is nothing to do (jobs that wait are waited for).")
@click.option("--max-jobs", type=Count(), help="Leave after N jobs.")
@grace_option
@click.option(
    "--metrics-port", type=click.IntRange(1, 65535), metavar="PORT", help="Serve metrics for Prometheus there."
)
@click.option(
    "--metrics-host",
    show_default=LOCALHOST,
    metavar="ADDRESS",
    help="Address that metrics are served at; in a container 0.0.0.0.",
)
def worker(
    concurrency: int,
    burst: bool,
    max_jobs: int | None,
    grace_s: float,
    metrics_port: int | None,
    metrics_host: str | None,
) -> int:
    """Work on what is queued: up to N calls in flight, within the provider's limits.

    SIGTERM or Ctrl-C: takes no new job, lets running ones end within the grace, gives the rest back.

    \b
    Example: chartq worker --concurrency 32
    """
    if metrics_host is not None and metrics_port is None:
        raise click.UsageError("--metrics-host goes with --metrics-port")
    settings = worker_settings()
    configure_logging(settings.log_level, settings.log_format, folder=log_folder(settings))
    with (
        Session(settings) as session,
        liveness_file(settings.chartq_home) as liveness,
        metered(session, port=metrics_port, host=metrics_host or LOCALHOST) as metrics,
        webhooks_told(session),
    ):
        hooks = Hooks(polled=liveness.stamp)
        if metrics is not None:
            hooks = Hooks(polled=liveness.stamp, started=metrics.started, ended=metrics.ended)
        chart_worker = build_worker(session, concurrency=concurrency, grace_s=grace_s, hooks=hooks)
        chart_worker.shutdown.listen_to_signals()
        chart_worker.run(burst=burst, max_jobs=max_jobs)
    return 0
