"""Numbers for Prometheus: `chartq worker --metrics-port`, and `chartq metrics` for what all workers share.

The library comes with the extra `metrics` and is imported when a port is asked for, not before.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from jobs.batches.session import Session
from jobs.cli.output import say
from jobs.config.settings import producer_settings
from jobs.core.errors import InputError, InstallationError
from worker.monitoring.logging_setup import configure_logging

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from worker.monitoring.worker_metrics import Meter

#: Listens for nobody else unless told otherwise.
_HERE = "127.0.0.1"

metrics_port_option = click.option(
    "--metrics-port", type=click.IntRange(1, 65535), metavar="PORT", help="Serve metrics for Prometheus there."
)
metrics_host_option = click.option(
    "--metrics-host",
    default=_HERE,
    show_default=True,
    metavar="ADDRESS",
    help="Address that metrics are served at; in a container 0.0.0.0.",
)


@contextmanager
def metered(session: Session, *, port: int | None, host: str = _HERE) -> "Iterator[Meter | None]":
    """This worker's counters and the shared state, served until the end of the `with`; None without a port.

    Raises InstallationError without the library, InputError if the port can't be had.
    """
    if port is None:
        yield None
        return
    registry = _registry(session)
    from worker.monitoring.worker_metrics import Meter

    meter = Meter(registry)
    with _served(registry, port=port, host=host):
        yield meter


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9400, show_default=True, help="Port to listen at.")
@click.option("--host", default=_HERE, show_default=True, help="Address to listen at; in a container 0.0.0.0.")
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
    with Session(settings) as session, _served(_registry(session), port=port, host=host):
        say(f"metrics at http://{host}:{port}/metrics")
        ended.wait()
    return 0


def _registry(session: Session) -> "CollectorRegistry":
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise InstallationError("metrics need a library: pip install 'chartq[metrics]'") from None
    from worker.monitoring.fleet_metrics import SharedState

    registry = CollectorRegistry()
    registry.register(SharedState(session.redis))
    return registry


@contextmanager
def _served(registry: "CollectorRegistry", *, port: int, host: str) -> Iterator[None]:
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise InputError(f"metrics can't be served at {host}:{port}: {error.strerror}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
