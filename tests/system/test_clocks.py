"""Clocks that are wrong: Redis's is set while everybody works, hosts of producers and workers are minutes apart.

Whatever is compared was told by one clock, Redis's, which for us never goes back (`lua/1_keys.lua`).
"""

import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from support.faults import by_prompt
from support.lanes import HOUR_S, Clock, Lanes, Worker, jobs_of
from support.simulation import FixedWindows, Simulation
from support.stack import Finished, Stack, draw_charts, finish

from jobs.batches.reconcile import is_given_up
from jobs.core.controls import EVERYTHING, Controls, Pause
from jobs.core.errors import QueueError
from jobs.lanes import Gates, scripts
from jobs.lanes.gates import WORKER_LIVE_S
from jobs.ledger import Ledger
from worker.engine.lane_client import LEASE_S
from worker.rehearsal import Behaviour, Rehearsal

MODEL = "org/chart-reader"
BEHAVIOUR = Behaviour(latency_s=0.05, fault_for=by_prompt({"bad": 422}))
ENVIRONMENT = {"VISION_MODEL": MODEL}

OTHER_CLOCK = Path(__file__).parents[1] / "support" / "other_clock.py"

#: While Redis's clock is made good again, time passes so much more slowly.
SLOWER = 1.12

_TIME = "redis.call('TIME')"
_SET = "{math.floor(redis.call('GET', 'test:ms') / 1000), redis.call('GET', 'test:ms') % 1000 * 1000}"


class ReadersClock(Clock):
    """Of somebody who looks from another host."""

    def redis_now_ms(self) -> None:  # type: ignore[override]  # the scripts ask Redis
        return None


class SetClock(Clock):
    """Redis's clock stands beside everybody's, and is set by somebody."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._here_ms, self._wrong_ms = redis, int(time.time() * 1000), 0

    @property
    def now_ms(self) -> int:
        return self._here_ms

    @now_ms.setter
    def now_ms(self, here_ms: int) -> None:
        self._here_ms = here_ms
        self._redis.set("test:ms", here_ms + self._wrong_ms)

    def set_redis(self, seconds: float) -> None:
        self._wrong_ms += round(seconds * 1000)
        self.now_ms = self._here_ms

    def redis_now_ms(self) -> None:  # type: ignore[override]  # the scripts ask Redis
        return None


@pytest.fixture
def lanes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    texts = scripts._texts()
    assert {text.count(_TIME) for text in texts.values()} == {1}
    changed = {line: text.replace(_TIME, _SET) for line, text in texts.items()}
    monkeypatch.setattr(scripts, "_texts", lambda: changed)
    lanes = Lanes(redis, SetClock(redis))
    lanes.clock.pass_s(0)
    return lanes


def set_redis(lanes: Lanes, seconds: float) -> None:
    assert isinstance(lanes.clock, SetClock)
    lanes.clock.set_redis(seconds)


def first_after_s(lanes: Lanes, worker: Worker, most_s: float) -> float:
    """Seconds until the worker gets a job."""
    waited_s = 0.0
    while not worker.take():
        waited_s += 0.5
        assert waited_s <= most_s
        lanes.clock.pass_s(0.5)
    return waited_s


# Redis's clock is set ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_s", [-HOUR_S, -30.0, -1.0, 0.0])
def test_a_gate_opens_after_its_hint_though_redis_clock_was_set_back(lanes: Lanes, set_s: float) -> None:
    worker = lanes.worker()
    lanes.submit(2)
    worker.refused(*worker.take(), hint_s=3.0)
    lanes.clock.pass_s(0.5)
    set_redis(lanes, set_s)
    assert 2.0 <= first_after_s(lanes, worker, 10) <= 4.5


def test_its_reader_is_told_when_it_opens_by_the_readers_own_clock(lanes: Lanes) -> None:
    set_redis(lanes, -HOUR_S)
    worker = lanes.worker()
    lanes.submit(2)
    worker.refused(*worker.take(), hint_s=30.0)
    gate = lanes.gate()
    assert gate.until_s == pytest.approx(lanes.clock.now() + 30, abs=0.1)
    assert gate.now_s == pytest.approx(lanes.clock.now(), abs=0.1)


@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S])
def test_who_is_alive_is_told_by_redis_clock_whatever_the_readers_says(lanes: Lanes, ahead_s: float) -> None:
    lanes.worker()
    reader = Gates(lanes.redis, ReadersClock(lanes.clock.now_ms + int(ahead_s * 1000)))
    assert len(reader.workers()) == 1
    lanes.clock.pass_s(WORKER_LIVE_S)
    assert reader.workers() == []


def test_a_killed_workers_jobs_are_taken_over_though_redis_clock_was_set_back(lanes: Lanes) -> None:
    lanes.submit(3)
    killed = lanes.worker("killed")
    taken = jobs_of(killed.take(3))
    set_redis(lanes, -HOUR_S)
    other = lanes.worker("other")
    lanes.clock.pass_s(LEASE_S - 1)
    assert other.lane_client.expired(10) == []
    lanes.clock.pass_s(1 + LEASE_S * (SLOWER - 1))
    assert {lease.job for lease, _ in other.lane_client.expired(10)} == set(taken)


def test_a_back_off_ends_though_redis_clock_was_set_back(lanes: Lanes) -> None:
    worker = lanes.worker()
    lanes.submit(1)
    worker.failed(*worker.take(), delay_s=4.0)
    set_redis(lanes, -HOUR_S)
    assert 3.0 <= first_after_s(lanes, worker, 10) <= 5.0


def test_a_pause_ends_though_redis_clock_was_set_back(lanes: Lanes) -> None:
    worker = lanes.worker()
    lanes.submit(1)
    pause = Pause(by="ann@host", since=0, until=lanes.queues.now() + 60)
    lanes.queues.set_controls(Controls(version=1, pauses={EVERYTHING: pause}))
    lanes.clock.pass_s(10)
    assert worker.take() == []
    set_redis(lanes, -HOUR_S)
    assert 45 <= first_after_s(lanes, worker, 60) <= 60


@pytest.mark.parametrize("limits", ["3/h", "1001/h"])
def test_a_budget_is_kept_and_comes_back_though_redis_clock_was_set_back(lanes: Lanes, limits: str) -> None:
    calls = int(limits.partition("/")[0])
    worker = lanes.worker(limits=limits)
    lanes.submit(calls + 1)
    worker.answered(*worker.take(calls))
    lanes.clock.pass_s(60)
    set_redis(lanes, -HOUR_S)
    for _ in range(58):
        lanes.clock.pass_s(60)
        assert worker.take() == []
    assert first_after_s(lanes, worker, 0.2 * HOUR_S) > 0


def test_a_folder_keeps_its_limit_and_pace_while_redis_clock_is_set_and_a_worker_killed(lanes: Lanes) -> None:
    lanes.submit(150)
    provider = FixedWindows(30, 60_000, phase_ms=lanes.clock.now_ms - 12_345)
    simulation = Simulation(lanes, provider, workers=3, threads=4, limits="30/m", latency_s=(2.0, 5.0))
    simulation.after(70, lambda: set_redis(lanes, -HOUR_S))
    simulation.after(71, simulation.kill)
    simulation.after(200, lambda: set_redis(lanes, -HOUR_S / 2))
    simulation.run(150)
    assert simulation.refusals == 0
    assert simulation.took_s <= SLOWER * (6 * 60 + 2 * LEASE_S)


@pytest.mark.parametrize("seed", range(5))
def test_time_never_goes_back_nor_stands_still_whatever_redis_clock_does(lanes: Lanes, seed: int) -> None:
    draw, worker = random.Random(seed), lanes.worker()
    told, here = lanes.queues.now(), lanes.clock.now()
    for _ in range(300):
        jump_s = draw.choice([0.0] * 5 + [-HOUR_S, -2.0, -90.0, 40.0, HOUR_S])
        set_redis(lanes, jump_s)
        lanes.clock.pass_s(draw.choice([0.001, 0.005, 1.0, 20.0]))
        worker.heartbeat()
        now, passed_s = lanes.queues.now(), lanes.clock.now() - here
        assert now >= told + (passed_s / SLOWER if jump_s == 0 else 0.0) - 0.002
        assert now <= told + passed_s + max(jump_s, 0.0) + 0.002
        told, here = now, lanes.clock.now()


def test_a_clock_that_was_set_back_by_mistake_is_followed_at_once_when_it_is_right_again(lanes: Lanes) -> None:
    """A board without a battery begins in 1970, and learns the time minutes later."""
    worker, years_s = lanes.worker(), 50 * 365 * 24 * HOUR_S
    set_redis(lanes, -years_s)
    worker.heartbeat()
    lanes.clock.pass_s(120)
    worker.heartbeat()
    assert lanes.queues.now() == pytest.approx(lanes.clock.now(), abs=120)
    set_redis(lanes, years_s)
    worker.heartbeat()
    assert lanes.queues.now() == pytest.approx(lanes.clock.now(), abs=0.1)


# Redis's own times to live last as much longer ---------------------------------------------------------------


def test_a_worker_that_was_killed_while_it_looked_after_others_is_followed_by_the_next(lanes: Lanes) -> None:
    killed, other = lanes.worker("killed"), lanes.worker("other")
    assert killed.lane_client.may_maintain(6)
    assert not other.lane_client.may_maintain(6)
    assert killed.lane_client.may_maintain(6)
    lanes.redis.pexpire("chartq:maintenance", int(HOUR_S * 1000))
    assert other.lane_client.may_maintain(6)


def test_a_worker_that_was_killed_before_a_job_that_runs_alone_keeps_nobody_from_it(lanes: Lanes) -> None:
    [job] = lanes.submit(1)
    other = lanes.worker("other")
    lost = other.take()
    other.settle(lost, to="alone")
    lanes.redis.set("chartq:alone-turn", "killed", px=int(LEASE_S * 1000))
    assert other.take() == []
    lanes.redis.pexpire("chartq:alone-turn", int(HOUR_S * 1000))
    assert jobs_of(other.take()) == [job]


def test_a_store_that_left_long_ago_claims_redis_no_longer(lanes: Lanes) -> None:
    lanes.queues.set_controls(Controls(store="one", version=1))
    with pytest.raises(QueueError):
        lanes.queues.set_controls(Controls(store="two", version=1))
    lanes.redis.pexpire("chartq:claim", int(HOUR_S * 1000))
    lanes.queues.set_controls(Controls(store="two", version=1))


@pytest.mark.parametrize(
    ("started_at", "known_since", "given_up"),
    [
        (100.0, 50.0, False),
        (90.0, 50.0, True),
        (90.0, 95.0, False),
        (None, 50.0, True),
        (101.0, 50.0, False),  # it has begun since `now` was asked
        (3700.0, 50.0, True),  # by the clock of a Redis that is no more, and was an hour ahead
        (3700.0, 99.0, False),
    ],
)
def test_a_started_job_that_redis_lost_is_given_up_after_two_heartbeats(
    started_at: float | None, known_since: float, given_up: bool
) -> None:
    assert is_given_up(started_at, known_since, now=100.5) is given_up


# Hosts whose clocks are apart --------------------------------------------------------------------------------


def elsewhere(user: Stack, wrong_s: int, *args: str) -> Finished:
    """A command on a host whose clock is wrong."""
    return finish(user.launch(str(OTHER_CLOCK), str(wrong_s), *args))


@pytest.mark.parametrize("wrong_s", [-600, 600])
def test_a_worker_with_another_clock_stops_at_max_failures_and_dates_as_all_do(
    user: Stack, server: Rehearsal, wrong_s: int
) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    batch_id = user.run("submit", str(charts), "-p", "bad", "-q", "--max-failures", "5").stdout.strip()
    user.worker(str(wrong_s), "worker", "--concurrency", "4", script=OTHER_CLOCK)
    user.wait(batch_id, expect=3)
    assert 5 <= len(server.record) <= 5 + 2 * 4
    with closing(Ledger.open(user.results_url)) as ledger:
        counts = ledger.counts(ledger.batch(batch_id), recent_since=time.time() - 60)
        assert counts.last_ended_at == pytest.approx(time.time(), abs=60)
        begun = [ledger.job(row["job_id"]).started_at for row in user.results(batch_id) if row["status"] == "failed"]
    assert begun == [pytest.approx(time.time(), abs=60)] * counts.failed
    assert counts.recent_ended == counts.failed >= 5, "the pace of the last minute"


@pytest.mark.parametrize("wrong_s", [-600, 600])
def test_a_producer_with_another_clock_finds_what_is_answered_and_asks_it_anew_when_told(
    user: Stack, server: Rehearsal, wrong_s: int
) -> None:
    charts = str(draw_charts(user.folder / "charts", 6))
    user.run("run", charts, "-p", "Up?")
    again = elsewhere(user, wrong_s, "submit", charts, "-p", "Up?", "--json").json()
    assert (again["total"], again["cached"], again["queued"]) == (6, 6, 0)
    assert len(server.record) == 6
    anew = elsewhere(user, wrong_s, "run", charts, "-p", "Up?", "--refresh", "--json")
    assert (anew.code, anew.json()["status"]) == (0, "completed")
    assert len(server.record) == 12
    with closing(Ledger.open(user.results_url)) as ledger:
        sealed = [batch.sealed_at for batch in ledger.batches()]
        queued = [ledger.job(row["job_id"]).queued_at for row in user.results(anew.json()["batch_id"])]
    assert [*sealed, *queued] == [pytest.approx(time.time(), abs=60)] * (3 + 6)


@pytest.mark.parametrize("wrong_s", [-600, 600])
def test_what_people_do_on_a_host_with_another_clock_is_dated_as_all_is(user: Stack, wrong_s: int) -> None:
    charts = draw_charts(user.folder / "charts", 4)
    batch_id = user.submit(charts, prompt="bad")
    finish(user.worker("--burst", "--max-jobs", "2"))
    elsewhere(user, wrong_s, "retry", batch_id)
    with closing(Ledger.open(user.results_url)) as ledger:
        jobs = [ledger.job(row["job_id"]) for row in user.results(batch_id)]
        assert [job.shown.status for job in jobs] == ["queued"] * 4
        assert [job.queued_at for job in jobs] == [pytest.approx(time.time(), abs=60)] * 4
        elsewhere(user, wrong_s, "pause", batch_id, "--until", "1h")
        hold = ledger.batch(batch_id).hold
        assert hold is not None
        assert hold.until == pytest.approx(time.time() + HOUR_S, abs=60)
        elsewhere(user, wrong_s, "cancel", batch_id)
        assert ledger.batch(batch_id).canceled_at == pytest.approx(time.time(), abs=60)


def test_a_reader_with_another_clock_is_told_the_pace(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 40)
    batch_id = user.submit(charts)
    finish(user.worker("--concurrency", "1", "--max-jobs", "20"))
    told = elsewhere(user, 600, "status", batch_id, "--json").json()
    assert told["request_counts"]["finished"] == 20
    assert told["eta_s"] is not None
    assert told["eta_s"] < 600
