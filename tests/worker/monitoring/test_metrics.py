"""Metrics: what a worker counts, what all share, and that a scrape never waits long."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.executions import LEASE, ending, started_job
from support.gates import gate
from support.lanes import running_redis
from support.ports import free_port
from support.stack import PATIENCE_S, draw_charts, eventually, stack

from jobs.core.rates import Window
from jobs.lanes import Depth, Gate, Gates, LaneQueues
from jobs.ledger import StartedJob
from worker.engine.exchange import Lease
from worker.engine.policy import Done, Outcome, Refused, Throttled, Transient, Unreachable
from worker.hf.errors import HFConnectionError, HFRateLimitError, HFServerError, HFTimeoutError, HFUnreachableError
from worker.hf.replies import Answer
from worker.monitoring.fleet_metrics import FleetMetrics
from worker.monitoring.runnable import runnable, state_of
from worker.monitoring.worker_metrics import WorkerMetrics
from worker.rehearsal import Rehearsal

LANE = "chat:org/model"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


# What a worker counts -----------------------------------------------------------------------------------


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    return WorkerMetrics(registry)


#: When the jobs were queued, and their calls begin: Unix time.
QUEUED_AT, CALLED_AT = 1_800_000_000.0, 1_800_000_005.0
ANSWER = Answer(text="up", raw={}, prompt_tokens=30, completion_tokens=4)


def lease(lane: str = LANE) -> Lease:
    return replace(LEASE, lane=lane, spent_ms=int(CALLED_AT * 1000))


def job(attempts: int = 0) -> StartedJob:
    return started_job(attempts=attempts, queued_at=QUEUED_AT)


@pytest.mark.parametrize(
    ("outcome", "error", "status", "name"),
    [
        (Done(), None, "200", "done"),
        (Throttled(), HFRateLimitError("no", status_code=429), "429", "throttled"),
        (Unreachable(), HFUnreachableError("no"), "unreachable", "unreachable"),
        (Transient(1.0, last=False), HFTimeoutError("no"), "timeout", "transient"),
        (Transient(1.0, last=False), HFConnectionError("no"), "connection", "transient"),
        (Transient(1.0, last=True), HFServerError("no", status_code=502), "502", "transient"),
    ],
)
def test_a_call_is_counted_by_model_status_and_outcome(
    registry: CollectorRegistry,
    metrics: WorkerMetrics,
    outcome: Outcome,
    error: Exception | None,
    status: str,
    name: str,
) -> None:
    metrics.ended(ending(outcome, error=error))
    found = samples(generate_latest(registry).decode())
    assert value(found, "chartq_calls_total", model="org/model", status=status, outcome=name) == 1
    assert value(found, "chartq_call_duration_seconds_sum", model="org/model") == 1.5
    retried = isinstance(outcome, Transient) and not outcome.last
    assert value(found, "chartq_retries_total", model="org/model") == (1 if retried else None)


def test_tokens_waits_and_calls_in_flight(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    for attempts in (0, 0, 1):  # a second attempt's wait says nothing about the queue
        metrics.started(lease(), job(attempts))
    metrics.ended(ending(Done(), answer=ANSWER))
    found = samples(generate_latest(registry).decode())
    assert value(found, "chartq_in_flight", model="org/model") == 2
    assert value(found, "chartq_tokens_total", model="org/model", kind="prompt") == 30
    assert value(found, "chartq_tokens_total", model="org/model", kind="completion") == 4
    assert value(found, "chartq_queue_wait_seconds_count", model="org/model") == 2
    assert value(found, "chartq_queue_wait_seconds_bucket", model="org/model", le="10.0") == 2
    assert value(found, "chartq_queue_wait_seconds_bucket", model="org/model", le="1.0") == 0


def test_what_was_not_called_is_no_call_and_an_outage_no_retry(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    metrics.ended(ending(Refused(), called=False))
    metrics.ended(ending(Transient(1.0, last=False), error=HFServerError("no", status_code=502), outage=True))
    found = samples(generate_latest(registry).decode())
    assert value(found, "chartq_uncalled_total", model="org/model", outcome="refused") == 1
    assert sum(count for (name, _), count in found.items() if name == "chartq_calls_total") == 1
    assert value(found, "chartq_retries_total", model="org/model") is None


def test_a_thousand_models_make_no_thousand_series(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    for number in range(1000):
        metrics.started(lease(f"chat:org/model-{number}"), job())
    flying = {key: count for key, count in samples(generate_latest(registry).decode()).items() if "flight" in key[0]}
    assert len(flying) == 51
    assert flying["chartq_in_flight", (("model", "other"),)] == 950


# What could run now -------------------------------------------------------------------------------------


BUDGET: dict[str, Any] = {"windows": (Window(window_ms=60_000, calls=30),)}


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ([], 105),
        ([gate()], 105),
        ([gate(until_s=99.0)], 5),
        ([gate(reason="credits")], 5),
        ([gate(**BUDGET, spent=(10,))], 25),
        ([gate(**BUDGET, spent=(30,))], 5),
        ([gate(ceiling=8, in_flight=5)], 8),
        ([gate(limit=6, ceiling=8, in_flight=5)], 6),
        ([gate(probing=True)], 6),
        ([gate(probing=True, in_flight=1)], 5),
        ([gate(reason="token"), gate(**BUDGET, spent=(0,))], 35),
        ([gate(reason="token", live=False), gate()], 105),
        ([gate(reason="token", live=False)], 5),
        ([gate(lane="chat:org/other", reason="token")], 105),
    ],
)
def test_what_could_run_now_is_what_runs_and_what_the_gates_let_through(gates: list[Gate], expected: int) -> None:
    assert runnable(Depth(lane=LANE, queued=100, scheduled=7, started=5), gates) == expected


def test_a_gate_is_open_closed_or_on_hold() -> None:
    assert [state_of(one) for one in (gate(), gate(until_s=1.0), gate(until_s=1.0, reason="token"))] == [
        "open",
        "closed",
        "hold",
    ]


# A scrape -----------------------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis() as running:
        yield running


def scraped(redis: Redis) -> Samples:
    registry = CollectorRegistry()
    registry.register(FleetMetrics(redis))
    return samples(generate_latest(registry).decode())


def test_batches_of_a_lane_are_counted_together(redis: Redis) -> None:
    queues = LaneQueues(redis)
    queues.enqueue(["a", "b"], lane=LANE, batch_id="b1")
    queues.enqueue(["c"], lane=LANE, batch_id="b2")
    found = scraped(redis)
    assert value(found, "chartq_redis_up") == 1
    assert value(found, "rq_jobs", queue=LANE, status="queued") == 3
    assert value(found, "rq_jobs", queue=LANE, status="started") == 0
    assert value(found, "chartq_jobs_runnable", lane=LANE) == 3


def test_many_lanes_are_cut_and_said_to_be(redis: Redis) -> None:
    queues = LaneQueues(redis)
    for number in range(103):
        queues.enqueue([f"j{number}"], lane=f"chat:org/m{number}", batch_id="b")
    found = scraped(redis)
    assert len([key for key in found if key[0] == "rq_jobs"]) == 300
    assert value(found, "chartq_lanes_left_out") == 3


def test_a_redis_that_hangs_holds_no_scrape_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        with closing(Redis(port=port, socket_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0))) as redis:
            state = FleetMetrics(redis)
            registry = CollectorRegistry()
            registry.register(state)
            began = time.monotonic()
            for _ in range(2):  # the second one finds the first still waiting
                found = samples(generate_latest(registry).decode())
                assert found == {("chartq_redis_up", ()): 0}
            assert time.monotonic() - began < PATIENCE_S


def test_forged_records_of_workers_break_nothing(redis: Redis) -> None:
    redis.sadd("rq:workers", "rq:worker:forged", "rq:worker:gone")
    redis.hset("rq:worker:forged", mapping={"state": "busy", "successful_job_count": "many"})
    assert value(scraped(redis), "chartq_redis_up") == 0


# As processes -------------------------------------------------------------------------------------------


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as reply:
        return samples(reply.read().decode())


def answers(port: int) -> bool:
    try:
        return bool(scrape(port))
    except (urllib.error.URLError, ConnectionError):
        return False


def test_a_worker_serves_what_it_did_and_what_all_share(server: Rehearsal, tmp_path: Any) -> None:
    server.behave(first_faults=(500,))
    with stack(tmp_path, HF_BASE_URL=server.base_url, RETRY_DELAY="0.2", HF_RATE_LIMIT="1000/h") as user:
        batch_id = user.submit(draw_charts(user.folder / "charts", 8), VISION_MODEL="org/model")
        port = free_port()
        user.worker("--metrics-port", str(port), "--concurrency", "4")
        user.wait(batch_id)
        eventually(lambda: value(scrape(port), "chartq_in_flight", model="org/model") == 0)
        found = scrape(port)
        assert value(found, "chartq_calls_total", model="org/model", status="200", outcome="done") == 8
        assert value(found, "chartq_calls_total", model="org/model", status="500", outcome="transient") == 1
        assert value(found, "chartq_retries_total", model="org/model") == 1
        assert value(found, "chartq_queue_wait_seconds_count", model="org/model") == 8
        (account,) = {dict(labels)["account"] for name, labels in found if name == "chartq_gate_in_flight"}
        window = {"lane": LANE, "account": account, "window": "3600s"}
        assert value(found, "chartq_gate_permits_left", **window) == 1000 - 9
        assert value(found, "chartq_gate_state", lane=LANE, account=account, state="open") == 1
        assert sum(count for (name, _), count in found.items() if name == "rq_workers_success_total") == 8
        _is_conventional(found)


def _is_conventional(found: Samples) -> None:
    for name, labels in found:
        assert name.startswith(("chartq_", "rq_", "process_")), name
        assert len(labels) <= 4
        assert not {"job_id", "batch_id", "image"} & dict(labels).keys()


def test_the_exporter_counts_what_waits_while_no_worker_runs(server: Rehearsal, tmp_path: Any) -> None:
    with stack(tmp_path, HF_BASE_URL=server.base_url) as user:
        user.submit(draw_charts(user.folder / "charts", 3), VISION_MODEL="org/model")
        port = free_port()
        exporter = user.start("metrics", "--port", str(port))
        eventually(lambda: answers(port))
        found = scrape(port)
        assert value(found, "chartq_jobs_runnable", lane=LANE) == 3
        assert not any(name == "rq_workers" for name, _ in found)
        exporter.terminate()
        assert exporter.wait(PATIENCE_S) == 0


def test_a_port_that_is_taken_is_said_to_be(server: Rehearsal, tmp_path: Any) -> None:
    with stack(tmp_path, HF_BASE_URL=server.base_url) as user, closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = user.run("worker", "--burst", "--metrics-port", str(port), expect=1)
        assert f"metrics can't be served at 127.0.0.1:{port}" in ended.stderr
        no_host = ("--metrics-host", "n" * 100, "--metrics-port", str(port))
        assert "metrics can't be served at nnn" in user.run("worker", "--burst", *no_host, expect=1).stderr


def test_gates_that_nobody_brings_are_not_shown(redis: Redis) -> None:
    assert not Gates(redis).workers()
    LaneQueues(redis).enqueue(["a"], lane=LANE, batch_id="b")
    assert not any(name.startswith("chartq_gate") for name, _ in scraped(redis))
