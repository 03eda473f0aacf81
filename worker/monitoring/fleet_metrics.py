"""The shared state as metrics, read when Prometheus asks. Needs the extra `metrics`.

It is the same from every worker: don't sum over them, take `max by (...)`. `rq_*` are named and labelled as
rq-exporter has them; a queue is a lane there, all its batches together, since batches come and go.
"""

import threading
import time
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from rq.worker_registration import get_keys

from jobs.lanes import Depth, Gate, Gates, LaneQueues
from jobs.lanes.scripts import text
from worker.monitoring.checks.timeout import TooLongError, within
from worker.monitoring.runnable import runnable, state_of

#: Seconds that a scrape waits for Redis; without an answer it goes on without.
_LIMIT_S = 3.0

#: Scrapes within so many seconds get the same answer, however many ask.
_FRESH_S = 2.0

#: More lanes are left out, and `chartq_lanes_left_out` says how many; so are more workers.
_LANES_MAX, _WORKERS_MAX = 100, 500

_GATE_STATES = ("open", "closed", "hold")
_WORKER_FIELDS = ("state", "queues", "successful_job_count", "failed_job_count", "total_working_time")


class FleetMetrics(Collector):
    """Reads Redis at a scrape: bounded in time, one at a time, not again within seconds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._one_at_a_time = threading.Lock()
        self._reading = threading.Lock()
        self._last: list[Metric] | None = None
        self._last_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        families = self._current()
        yield GaugeMetricFamily("chartq_redis_up", "Whether Redis could be read", value=families is not None)
        yield from families or ()

    def _current(self) -> list[Metric] | None:
        with self._one_at_a_time:
            if time.monotonic() - self._last_at > _FRESH_S:
                self._last, self._last_at = self._read(), time.monotonic()
            return self._last

    def _read(self) -> list[Metric] | None:
        try:
            return within(_LIMIT_S, self._read_alone)
        except (RedisError, OSError, TooLongError, ValueError):  # ValueError: what no worker of ours wrote
            return None

    def _read_alone(self) -> list[Metric]:
        """In a thread that may be given up: while one still waits for Redis, no second one begins."""
        if not self._reading.acquire(blocking=False):
            raise TooLongError("the last scrape still waits for Redis")
        try:
            return list(_families(self._redis))
        finally:
            self._reading.release()


def _families(redis: Redis) -> Iterator[Metric]:
    """All that is shared, in a few round trips."""
    queues = LaneQueues(redis)
    waiting = queues.lanes()
    gates = Gates(redis).all(extra_lanes=waiting[:_LANES_MAX])
    lanes = [*waiting, *sorted({gate.lane for gate in gates if gate.live} - set(waiting))]
    shown = lanes[:_LANES_MAX]
    gates = [gate for gate in gates if gate.lane in shown]
    yield from _jobs(queues.depths(shown), gates)
    yield from _gates(gates)
    yield from _rq_workers(redis)
    yield GaugeMetricFamily("chartq_lanes_left_out", "Lanes that are not shown", value=len(lanes) - len(shown))


def _jobs(depths: Sequence[Depth], gates: Sequence[Gate]) -> Iterator[Metric]:
    counts = GaugeMetricFamily("rq_jobs", "RQ jobs by state", labels=["queue", "status"])
    able = GaugeMetricFamily("chartq_jobs_runnable", "Jobs that run or could start now", labels=["lane"])
    for depth in depths:
        for status in ("queued", "started", "scheduled"):
            counts.add_metric([depth.lane, status], getattr(depth, status))
        able.add_metric([depth.lane], runnable(depth, gates))
    yield from (counts, able)


def _gates(gates: Sequence[Gate]) -> Iterator[Metric]:
    labels = ["lane", "account"]
    states = GaugeMetricFamily(
        "chartq_gate_state",
        "1 for the state that a gate is in: open, closed for a while, on hold",
        labels=[*labels, "state"],
    )
    waits = GaugeMetricFamily("chartq_gate_wait_seconds", "Time until the next permit, as far as known", labels=labels)
    flying = GaugeMetricFamily("chartq_gate_in_flight", "Calls in flight, all workers together", labels=labels)
    limits = GaugeMetricFamily("chartq_gate_concurrency_limit", "Most calls in flight at present", labels=labels)
    left = GaugeMetricFamily(
        "chartq_gate_permits_left", "Calls left in a window of the budget", labels=[*labels, "window"]
    )
    for gate in gates:
        if not gate.live:
            continue
        who = [gate.lane, gate.account]
        for state in _GATE_STATES:
            states.add_metric([*who, state], state == state_of(gate))
        waits.add_metric(who, gate.wait_s)
        flying.add_metric(who, gate.in_flight)
        known = [limit for limit in (gate.limit, gate.ceiling) if limit]
        if known:
            limits.add_metric(who, min(known))
        for window, spent in zip(gate.windows, gate.spent, strict=False):
            left.add_metric([*who, f"{window.window_ms // 1000}s"], max(0, window.calls - spent))
    yield from (states, waits, flying, limits, left)


def _rq_workers(redis: Redis) -> Iterator[Metric]:
    """From RQ's own records. Its own way to list them asks for each by itself."""
    alive = GaugeMetricFamily("rq_workers", "RQ workers", labels=["name", "state", "queues"])
    labels = ["name", "queues"]
    successes = CounterMetricFamily("rq_workers_success", "Jobs that succeeded, by worker", labels=labels)
    failures = CounterMetricFamily("rq_workers_failed", "Jobs that failed, by worker", labels=labels)
    working = CounterMetricFamily("rq_workers_working_time", "Seconds of work, by worker", labels=labels)
    keys = sorted(get_keys(connection=redis))[:_WORKERS_MAX]
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, _WORKER_FIELDS)
        rows = pipeline.execute()
    for key, (state, queues, *counts) in zip(keys, rows, strict=True):
        if state is not None:
            lanes = {name.rpartition("@")[0] or name for name in text(queues or b"").split(",")}
            who = [key.rpartition(":")[2], ",".join(sorted(lanes))]
            alive.add_metric([who[0], text(state), who[1]], 1)
            for family, count in zip((successes, failures, working), counts, strict=True):
                family.add_metric(who, float(count or 0))
    yield from (alive, successes, failures, working)
