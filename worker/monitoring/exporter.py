"""Numbers for Prometheus: `chartq worker --metrics-port`, and `chartq metrics` for what all workers share.

The library comes with the extra `metrics` and is imported when a port is asked for, not before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.batches.session import Session
from jobs.core.errors import InputError, InstallationError
from jobs.core.text import one_line

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from worker.monitoring.worker_metrics import WorkerMetrics

#: Listens for nobody else unless told otherwise.
LOCALHOST = "127.0.0.1"


@contextmanager
def serve_metrics(session: Session, *, port: int, host: str) -> "Iterator[CollectorRegistry]":
    """What all workers share, served until the end of the `with`, and what is registered meanwhile.

    Raises InstallationError without the library, InputError if the port can't be had.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise InstallationError("metrics need a library: pip install 'chartq[metrics]'") from None
    from worker.monitoring.fleet_metrics import FleetMetrics

    registry = CollectorRegistry()
    registry.register(FleetMetrics(session.redis))
    try:
        server, _ = start_http_server(port, addr=host, registry=registry)
    except (OSError, UnicodeError) as error:  # the latter of what can be no host's name
        why = getattr(error, "strerror", None) or error
        raise InputError(f"metrics can't be served at {one_line(host)}:{port}: {why}") from None
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def metered(session: Session, *, port: int | None, host: str) -> "Iterator[WorkerMetrics | None]":
    """This worker's counters, served with what all share; None without a port. Raises as `serve_metrics` does."""
    if port is None:
        yield None
        return
    with serve_metrics(session, port=port, host=host) as registry:
        from worker.monitoring.worker_metrics import WorkerMetrics

        yield WorkerMetrics(registry)
