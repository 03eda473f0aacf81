"""`chartq metrics`: what all workers share. A worker's own: `chartq worker --metrics-port`."""

import signal
import threading

import click

from jobs.batches.session import Session
from jobs.cli.output import say
from jobs.config.settings import producer_settings
from worker.monitoring.exporter import LOCALHOST, serve_metrics
from worker.monitoring.logging_setup import configure_logging


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9400, show_default=True, help="Port to listen at.")
@click.option("--host", default=LOCALHOST, show_default=True, help="Address to listen at; in a container 0.0.0.0.")
def metrics(port: int, host: str) -> int:
    """Serve what all workers share (queues, gates, permits, RQ's workers) as metrics, also while no worker runs.

    \b
    Example: chartq metrics --port 9400
    """
    settings = producer_settings()
    configure_logging(settings.log_level, settings.log_format)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Session(settings) as session, serve_metrics(session, port=port, host=host):
        say(f"metrics at http://{host}:{port}/metrics")
        ended.wait()
    return 0
