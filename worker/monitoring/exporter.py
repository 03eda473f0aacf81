"""Numbers for Prometheus: `chartq worker --metrics-port`, and `chartq metrics` for what all workers share.

The library comes with the extra `metrics` and is imported when a port is asked for, not before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.batches.session import Session
from jobs.core.errors import InputError, InstallationError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from worker.monitoring.worker_metrics import WorkerMetrics

#: Listens for nobody else unless told otherwise.
LOCALHOST = "127.0.0.1"


@contextmanager
def metered(session: Session, *, port: int | None, host: str = LOCALHOST) -> "Iterator[WorkerMetrics | None]":
    """This worker's counters and the shared state, served until the end of the `with`; None without a port.

    Raises InstallationError without the library, InputError if the port can't be had.
    """
    if port is None:
        yield None
        return
    registry = _registry(session)
    from worker.monitoring.worker_metrics import WorkerMetrics

    metrics = WorkerMetrics(registry)
    with _served(registry, port=port, host=host):
        yield metrics


@contextmanager
def serve_shared(session: Session, *, port: int, host: str) -> Iterator[None]:
    """What all workers share, served until the end of the `with`. Raises as `metered` does."""
    with _served(_registry(session), port=port, host=host):
        yield


def _registry(session: Session) -> "CollectorRegistry":
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise InstallationError("metrics need a library: pip install 'chartq[metrics]'") from None
    from worker.monitoring.fleet_metrics import FleetMetrics

    registry = CollectorRegistry()
    registry.register(FleetMetrics(session.redis))
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
