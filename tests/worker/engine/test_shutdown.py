"""Signals at bad moments: at any point of the start, while the store is away, while Redis hangs."""

import logging
import signal
import time
from contextlib import closing

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.redis_servers import own_redis
from support.stack import Stack, draw_charts, eventually, finish

from jobs.core.clock import Clock
from jobs.core.rates import RateLimits
from worker.engine.heartbeat import Heartbeat
from worker.engine.lane_client import HeartbeatTiming, LaneClient
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.3)
ENVIRONMENT = {"MAX_RETRIES": "0"}

#: Moments of the start at which a signal comes, as shares of the time that the start takes.
MOMENTS = (0.15, 0.4, 0.6, 0.75, 0.85, 0.95, 1.05)


def test_sigterm_at_any_moment_of_the_start_loses_nothing(user: Stack, server: Rehearsal) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 30))
    began = time.monotonic()
    user.worker("--max-jobs", "1")
    start_s = time.monotonic() - began
    for share in MOMENTS:
        worker = user.start("worker", "--concurrency", "2")
        time.sleep(share * start_s)
        worker.send_signal(signal.SIGTERM)
        ended = finish(worker)
        # Before Python runs our code the signal ends it as it ends every program: 143 in a shell.
        assert ended.code in (0, 143, -signal.SIGTERM), ended.stderr
        assert "Traceback" not in ended.stderr
        assert "Exception ignored" not in ended.stderr
    user.run("worker", "--burst")
    rows = user.results(batch_id)
    assert [(row["status"], row["attempts"]) for row in rows] == [("finished", 1)] * 30
    assert len(server.record) == 30


def test_while_the_store_is_away_it_stays_within_its_grace_and_saves_what_was_paid_for(
    user: Stack, server: Rehearsal
) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 12))
    worker = user.worker("--concurrency", "4", RESULTS_URL=f"{user.results_url}?timeout=0.5")
    eventually(lambda: len(server.record) >= 4)
    with user.locked_store():
        eventually(lambda: "waiting for the results store" in worker.said)
        worker.send_signal(signal.SIGTERM)
        time.sleep(2)
        assert worker.poll() is None
    ended = finish(worker)
    assert ended.code == 0
    assert "Traceback" not in ended.stderr
    assert user.counts(batch_id).finished == len(server.record) < 12


def test_a_second_sigint_while_the_store_is_away_leaves_at_once_and_others_do_the_rest(
    user: Stack, server: Rehearsal
) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 12))
    worker = user.worker("--concurrency", "4", RESULTS_URL=f"{user.results_url}?timeout=0.5")
    eventually(lambda: len(server.record) >= 4)
    with user.locked_store():
        eventually(lambda: "waiting for the results store" in worker.said)
        worker.send_signal(signal.SIGINT)
        time.sleep(0.5)  # sooner, and it would count as the same signal
        assert worker.poll() is None
        worker.send_signal(signal.SIGINT)
        ended = finish(worker)
        assert ended.code == 0
        assert "left without goodbye" in ended.stderr
        assert "Traceback" not in ended.stderr
        asked = len(server.record)
    user.worker("--concurrency", "8")
    user.wait(batch_id)
    assert len(server.record) <= asked + 12
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * 12


class SteadyClock(Clock):
    """Goes on beside Redis's, which may jump."""

    def __init__(self) -> None:
        self.steady_s, self.redis_ms = 100.0, int(time.time() * 1000)

    def steady(self) -> float:
        return self.steady_s

    def redis_now_ms(self) -> int:
        return self.redis_ms

    def pass_s(self, seconds: float) -> None:
        self.steady_s += seconds
        self.redis_ms += int(seconds * 1000)


@pytest.mark.parametrize("jump_s", [3600, 6, -3600])
def test_after_a_jump_of_redis_clock_nobody_counts_as_dead_for_two_beats(
    monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    """It was set, or the machine slept: by Redis's clock every lease has run out."""
    with own_redis() as running, closing(Redis(port=running.port)) as client:
        clock = SteadyClock()
        lane_client = LaneClient(client, worker="w", accounts={}, limits=RateLimits(), ceiling=None, clock=clock)
        monkeypatch.setattr("worker.engine.heartbeat.time.monotonic", clock.steady)
        heartbeat = Heartbeat(lambda _queues: None, lane_client, list)

        def beats(count: int) -> bool:
            for _ in range(count):
                clock.pass_s(5)
                heartbeat.first()
            return heartbeat.is_steady

        assert [beats(1), beats(2)] == [False, True]
        clock.redis_ms += jump_s * 1000
        lane_client.expired(10)
        assert not heartbeat.is_steady, "asked before the next heartbeat"
        assert [beats(1), beats(1)] == [False, True]
        clock.pass_s(11)
        assert not heartbeat.is_steady, "missed while Redis was away, or we were"
        assert [beats(1), beats(1), beats(1)] == [False, False, True]


def test_a_connection_that_is_closed_under_a_slow_heartbeat_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    with own_redis() as running:
        client = Redis(port=running.port, retry=Retry(NoBackoff(), 0))
        lane_client = LaneClient(
            client,
            worker="w",
            accounts={},
            limits=RateLimits(),
            ceiling=None,
            timing=HeartbeatTiming(interval_s=0.05, lease_s=15),
        )
        heartbeat = Heartbeat(lambda _queues: None, lane_client, list)
        heartbeat.first()
        running.process.send_signal(signal.SIGSTOP)
        heartbeat.start()
        time.sleep(0.5)  # a beat is under way
        heartbeat.stop()
        for connection in list(client.connection_pool._in_use_connections):
            connection.disconnect()
        running.process.send_signal(signal.SIGCONT)
        eventually(lambda: not heartbeat._thread.is_alive())
        client.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
