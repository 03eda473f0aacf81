"""`chartq health`: do the workers of this home on this machine get on, and do Redis and the results store answer?

Made for health checks of containers: it starts nothing, changes nothing, and ends within seconds.
`python -m worker.health` is the same without the other commands' libraries.
"""

from collections.abc import Iterator
from pathlib import Path

from jobs.config.settings import Settings
from worker.monitoring.checks.check import Check
from worker.monitoring.liveness import live_workers

#: Oldest round of a loop that passes for alive. A round that waits for a lock of the store takes up to a minute.
MAX_AGE_S = 90.0

#: Seconds that Redis and the store get to answer, each.
_LIMIT_S = 4.0


def look(settings: Settings, *, max_age_s: float, local: bool = False) -> Iterator[Check]:
    """Each finding as soon as it is known."""
    yield look_at_workers(settings.chartq_home, max_age_s=max_age_s)
    if not local:
        from worker.monitoring.checks.alive import look_at_redis, look_at_store  # half a second of libraries

        yield look_at_redis(settings, limit_s=_LIMIT_S)
        yield look_at_store(settings, limit_s=_LIMIT_S)


def look_at_workers(home: Path, *, max_age_s: float) -> Check:
    """Whether a worker runs here, and none hangs."""
    workers = live_workers(home)
    if not workers:
        return Check("worker", False, "none runs here")
    told = ", ".join(f"process {worker.pid} turned {worker.age_s:.1f} s ago" for worker in workers)
    return Check("worker", all(worker.age_s <= max_age_s for worker in workers), told)
