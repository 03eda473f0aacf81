"""Maintenance in a worker that makes no calls: it takes over from who is silent, and puts back what Redis has lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.lanes import HOUR_S, LANE, Lanes
from support.stack import eventually
from support.stores import id_of, submit

from jobs.batches.reconcile import MAX_LOSSES
from jobs.core.rates import RateLimits
from jobs.ledger import Ledger
from worker.engine import maintenance
from worker.engine.heartbeat import Heartbeat
from worker.engine.lane_client import HeartbeatTiming, LaneClient
from worker.engine.maintenance import Maintenance

CHARTS = [f"{number:02d}" for number in range(10)]
JOBS = [id_of(chart) for chart in CHARTS]


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "ROUND_S", 0.01)
    monkeypatch.setattr(maintenance, "_SWEEP_PAUSE_S", 0.0)
    monkeypatch.setattr(maintenance, "PAGE", 3)


@contextmanager
def at_work(lanes: Lanes, ledger: Ledger) -> Iterator[Heartbeat]:
    """Maintenance runs; the heartbeat has not begun."""
    lane_client = LaneClient(
        lanes.redis,
        clock=lanes.clock,
        worker="w1",
        accounts={},
        limits=RateLimits(),
        ceiling=None,
        timing=HeartbeatTiming(interval_s=0.05),
    )
    heartbeat = Heartbeat(lambda _queues: None, lane_client, list)
    running = Maintenance(ledger, lane_client, heartbeat)
    running.start()
    try:
        yield heartbeat
    finally:
        running.stop()
        heartbeat.stop()
        eventually(lambda: not running._thread.is_alive())


def rounds_pass(lanes: Lanes) -> None:
    """Wait while maintenance speaks to Redis some twenty times."""

    def calls() -> int:
        return int(lanes.redis.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))

    before = calls()
    eventually(lambda: calls() > before + 20)


def test_single_jobs_that_redis_lost_are_put_back_wherever_they_stand_in_the_ledger_again_and_again(
    lanes: Lanes, ledger: Ledger
) -> None:
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue(JOBS, lane=LANE, batch_id=batch.batch_id)
    with at_work(lanes, ledger):
        for places in ([8], [0], [4, 9]):
            for place in places:
                lanes.redis.delete(f"rq:job:{JOBS[place]}")
                lanes.redis.lrem(f"rq:queue:{LANE}@{batch.batch_id}", 0, JOBS[place])
            eventually(lambda: lanes.queues.unknown(JOBS) == [])
    assert lanes.queued() == len(JOBS)


def test_silent_workers_are_followed_only_by_one_whose_own_heartbeats_get_through(lanes: Lanes, ledger: Ledger) -> None:
    """Else it might be Redis, or we, that had stopped: everybody's leases would have run out."""
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue(JOBS, lane=LANE, batch_id=batch.batch_id)
    leases = lanes.worker("silent").take(2)
    ledger.start([(lease.job, lease.execution) for lease in leases], 2)
    lanes.clock.pass_s(20)
    with at_work(lanes, ledger) as heartbeat:
        rounds_pass(lanes)
        assert ledger.counts(batch, recent_since=0).started == 2
        heartbeat.start()
        eventually(lambda: ledger.counts(batch, recent_since=0).started == 0)
    rows = [ledger.job(lease.job) for lease in leases]
    assert [(row.shown.status, row.shown.attempts, row.losses) for row in rows] == [("queued", 0, 1)] * 2
    assert lanes.redis.llen(f"rq:queue:{LANE}@alone") == 2


# Another clock than Redis's: what follows would come an hour early or late by this host's


def test_a_pause_ends_by_redis_clock(lanes: Lanes, ledger: Ledger) -> None:
    lanes.clock.pass_s(-2 * HOUR_S)
    batch = submit(ledger, CHARTS, now=1)
    now = lanes.clock.now()
    ledger.pause_batch(batch, by="me", now=now, until=now + HOUR_S)
    with at_work(lanes, ledger):
        rounds_pass(lanes)
        assert ledger.batch(batch.batch_id).hold is not None
        lanes.clock.pass_s(HOUR_S)
        eventually(lambda: ledger.batch(batch.batch_id).hold is None)


@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
def test_a_job_that_is_lost_with_its_worker_for_the_last_time_fails_by_redis_clock(
    lanes: Lanes, ledger: Ledger, ahead_s: float
) -> None:
    lanes.clock.pass_s(ahead_s)
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue(JOBS, lane=LANE, batch_id=batch.batch_id)
    [lease] = lanes.worker("silent").take(1)
    for execution in range(MAX_LOSSES):
        ledger.start([(lease.job, str(execution))], 2)
        ledger.lose([(lease.job, str(execution))], max_losses=MAX_LOSSES, now=2)
    ledger.start([(lease.job, lease.execution)], 2)
    lanes.clock.pass_s(20)
    with at_work(lanes, ledger) as heartbeat:
        heartbeat.start()
        eventually(lambda: ledger.job(lease.job).shown.status == "failed")
    assert ledger.job(lease.job).shown.finished_at == pytest.approx(lanes.clock.now(), abs=HOUR_S / 2)
