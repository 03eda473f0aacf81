"""Budgets: never more permits in any interval of a window's length, and never fewer than it allows for nothing."""

import signal
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from support.lanes import HOUR_S, LANE, OTHER_LANE, Clock, Lanes, Worker, end_redis

from jobs.broker.embedded import embedded_redis
from jobs.core.rates import RateLimits, Window
from worker.engine.lane_client import LaneClient

#: A permit counts for 2 % longer than the window, at most for 1 s (see lua/3_budgets.lua).
GUARD_S = 1.0


def assert_kept(limits: str, permits_ms: Sequence[int]) -> None:
    """Never more than `calls` permits in any interval [t, t + window)."""
    for window in RateLimits.parse(limits).default:
        for first, beyond in zip(permits_ms, permits_ms[window.calls :], strict=False):
            assert beyond - first >= window.window_ms, f"{window}: {window.calls + 1} permits in {beyond - first} ms"


def take_and_settle(lanes: Lanes, worker: Worker, want: int, unused: int = 0) -> list[int]:
    """When the permits were given that were used; `unused` of them go back at once."""
    leases = worker.take(want)
    worker.unused(*leases[:unused])
    worker.answered(*leases[unused:])
    return [lanes.clock.now_ms] * len(leases[unused:])


WINDOWS = st.lists(
    st.builds(Window, calls=st.integers(1, 12), window_ms=st.integers(1, 30).map(lambda s: s * 1000)),
    min_size=1,
    max_size=3,
    unique_by=lambda window: window.window_ms,
)
REQUESTS = st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 15), st.integers(0, 3)), min_size=5, max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=WINDOWS, requests=REQUESTS)
def test_no_interval_of_any_windows_length_holds_more_permits_than_it_allows(
    redis: Redis, windows: list[Window], requests: list[tuple[int, int, int]]
) -> None:
    lanes = Lanes(redis)
    limits = ",".join(map(str, windows))
    workers = [lanes.worker(name, limits=limits) for name in ("w1", "w2")]
    lanes.submit(600)
    permits: list[int] = []
    for number, (gap_ms, want, unused) in enumerate(requests):
        lanes.clock.now_ms += gap_ms
        permits += take_and_settle(lanes, workers[number % 2], want, unused)
    assert_kept(limits, permits)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.integers(1001, 1100),
    seconds=st.integers(1, 60),
    requests=st.lists(
        st.tuples(st.sampled_from([0.999, 0.99, 0.5, 0.3, 0.01, 0.001]), st.integers(150, 1100)),
        min_size=3,
        max_size=6,
    ),
)
def test_large_budgets_keep_the_same_promise_by_counting_in_sub_windows(
    redis: Redis, calls: int, seconds: int, requests: list[tuple[float, int]]
) -> None:
    lanes = Lanes(redis)
    limits = f"{calls}/{seconds}s"
    worker = lanes.worker(limits=limits)
    lanes.submit(4500)
    permits = take_and_settle(lanes, worker, 1100)
    for part, want in requests:
        lanes.clock.pass_s(part * seconds)
        permits += take_and_settle(lanes, worker, want)
    assert_kept(limits, permits)


def test_a_large_budget_is_whole_again_one_sub_window_after_its_length(lanes: Lanes) -> None:
    worker = lanes.worker(limits="1001/10s")
    lanes.submit(2200)
    assert len(take_and_settle(lanes, worker, 1100)) == 1001
    lanes.clock.pass_s(9.999)
    assert worker.take(1) == []
    lanes.clock.pass_s(0.101)
    assert len(take_and_settle(lanes, worker, 1100)) == 1001


def test_ten_charts_at_thirty_an_hour_go_at_once(lanes: Lanes) -> None:
    worker = lanes.worker(limits="30/h")
    lanes.submit(10)
    assert len(worker.take(16)) == 10


def test_a_window_never_refills_early_and_is_whole_again_after_its_length(lanes: Lanes) -> None:
    worker = lanes.worker(limits="30/h")
    lanes.submit(100)
    assert len(take_and_settle(lanes, worker, 64)) == 30
    lanes.clock.pass_s(HOUR_S / 2)
    assert worker.take(64) == []
    lanes.clock.pass_s(HOUR_S / 2 - 0.001)
    assert worker.take(64) == []
    assert lanes.gate().wait_s <= GUARD_S + 0.001
    lanes.clock.pass_s(GUARD_S + 0.001)
    assert len(worker.take(64)) == 30


@pytest.mark.parametrize(("limits", "calls", "whole_again_s"), [("3/10s", 3, 10.4), ("3/m", 3, 61.0), ("1/s", 1, 1.02)])
def test_a_permit_counts_a_little_longer_as_calls_take_a_while_to_arrive(
    lanes: Lanes, limits: str, calls: int, whole_again_s: float
) -> None:
    worker = lanes.worker(limits=limits)
    lanes.submit(20)
    assert len(take_and_settle(lanes, worker, 9)) == calls
    lanes.clock.pass_s(whole_again_s - 0.001)
    assert worker.take(9) == []
    lanes.clock.pass_s(0.001)
    assert len(worker.take(9)) == calls


def test_permits_leave_the_window_one_by_one_as_they_came(lanes: Lanes) -> None:
    worker = lanes.worker(limits="3/h")
    lanes.submit(20)
    for minute in (0, 10, 30):
        lanes.clock.pass_s(minute * 60)
        take_and_settle(lanes, worker, 1)
    lanes.clock.pass_s(20 * 60 + GUARD_S)
    assert len(take_and_settle(lanes, worker, 5)) == 1  # an hour after the first
    lanes.clock.pass_s(10 * 60)
    assert len(take_and_settle(lanes, worker, 5)) == 1  # an hour after the second


def test_several_windows_hold_at_once(lanes: Lanes) -> None:
    worker = lanes.worker(limits="4/10s,6/h")
    lanes.submit(20)
    assert len(take_and_settle(lanes, worker, 16)) == 4
    lanes.clock.pass_s(11)
    assert len(take_and_settle(lanes, worker, 16)) == 2
    lanes.clock.pass_s(600)
    assert worker.take(16) == []
    assert lanes.gate().spent == (0, 6)


def test_refused_calls_are_spent_since_the_provider_counts_them_too(lanes: Lanes) -> None:
    worker = lanes.worker(limits="3/m")
    lanes.submit(10)
    worker.refused(*worker.take(3), hint_s=1)
    lanes.clock.pass_s(59)
    assert worker.take(3) == []
    lanes.clock.pass_s(1 + GUARD_S)
    assert len(worker.take(3)) >= 1


@pytest.mark.parametrize("calls", [3, 1001])
def test_a_permit_that_was_never_used_is_given_back(lanes: Lanes, calls: int) -> None:
    worker = lanes.worker(limits=f"{calls}/m")
    lanes.submit(calls + 5)
    leases = worker.take(calls + 5)
    assert len(leases) == calls
    worker.answered(*leases[2:])
    worker.unused(*leases[:2])
    assert lanes.gate().spent == (calls - 2,)
    assert len(worker.take(5)) == 2


def test_a_permit_is_given_back_only_once(lanes: Lanes) -> None:
    worker = lanes.worker(limits="3/m")
    lanes.submit(10)
    leases = worker.take(3)
    worker.unused(leases[0])
    worker.unused(leases[0])
    assert len(worker.take(5)) == 1


def test_a_models_own_budget_replaces_the_default_one_and_covers_its_providers(lanes: Lanes) -> None:
    worker = lanes.worker(limits="2/h,org/model=4/h")
    provider_lane, other_provider = f"{LANE}:novita", f"{OTHER_LANE}:novita"
    for lane in (LANE, provider_lane, OTHER_LANE, other_provider):
        lanes.submit(9, batch_id=lane, lane=lane)
    taken = [lease.lane for lease in worker.take(40)]
    assert {lane: taken.count(lane) for lane in taken} == {
        LANE: 4,
        provider_lane: 4,
        OTHER_LANE: 2,
        other_provider: 2,
    }


def test_each_account_has_a_budget_of_its_own(lanes: Lanes) -> None:
    mine, yours = lanes.worker("w1", limits="2/h", token="mine"), lanes.worker("w2", limits="2/h", token="yours")
    lanes.submit(10)
    assert (len(mine.take(5)), len(yours.take(5))) == (2, 2)


def test_where_workers_of_an_account_differ_the_smallest_budget_holds(lanes: Lanes) -> None:
    generous, strict = lanes.worker("w1", limits="10/h,5/m"), lanes.worker("w2", limits="3/h")
    stranger = lanes.worker("w3", limits="1/h", token="another")
    generous.heartbeat()
    lanes.submit(50)
    assert len(generous.take(9)) == 3
    strict.lane_client.leave()
    generous.heartbeat()
    assert len(generous.take(9)) == 2, "5/m is the next smallest, and 3 are spent"
    assert len(stranger.take(9)) == 1


def test_workers_that_were_not_heard_of_for_a_while_no_longer_count(lanes: Lanes) -> None:
    generous, _ = lanes.worker("w1", limits="10/h"), lanes.worker("w2", limits="3/h")
    lanes.clock.pass_s(20)
    generous.heartbeat()
    lanes.submit(50)
    assert len(generous.take(20)) == 10


def test_where_workers_differ_the_smallest_ceiling_holds(lanes: Lanes) -> None:
    wide, _ = lanes.worker("w1", ceiling=8), lanes.worker("w2", ceiling=2)
    wide.heartbeat()
    lanes.submit(10)
    assert len(wide.take(9)) == 2


def test_budgets_take_bounded_memory_however_many_calls_were_made(lanes: Lanes) -> None:
    worker = lanes.worker(limits="700/10s,5000/h")
    lanes.submit(3500)
    for _ in range(5):
        assert len(take_and_settle(lanes, worker, 700)) == 700
        lanes.clock.pass_s(11)
    [times] = lanes.redis.keys("chartq:spent:*:times")
    [counts] = lanes.redis.keys("chartq:spent:*:counts")
    assert lanes.redis.llen(times) <= 1000
    assert lanes.redis.hlen(counts) <= 101
    assert lanes.redis.pttl(times) > 0
    assert lanes.redis.pttl(counts) > 0


def test_sub_windows_that_have_passed_are_forgotten(lanes: Lanes) -> None:
    worker = lanes.worker(limits="2000/100s")
    lanes.submit(400)
    for _ in range(300):
        take_and_settle(lanes, worker, 1)
        lanes.clock.pass_s(1)
    [counts] = lanes.redis.keys("chartq:spent:*:counts")
    assert lanes.redis.hlen(counts) <= 102


def test_one_second_windows_are_spread_so_that_no_two_bursts_meet_at_the_provider(lanes: Lanes) -> None:
    worker = lanes.worker(limits="5/s")
    lanes.submit(200)
    permits: list[int] = []
    while len(permits) < 41:
        permits += take_and_settle(lanes, worker, 16)
        lanes.clock.pass_s(0.01)
    assert min(later - earlier for earlier, later in pairwise(permits)) >= 200
    assert_kept("5/s", permits)
    assert 40 / ((permits[-1] - permits[0]) / 1000) >= 0.95 * 5, "95 % of the budget is used"


def test_a_worker_that_restarts_finds_its_budget_spent(lanes: Lanes) -> None:
    before = lanes.worker("w1", limits="3/h")
    lanes.submit(10)
    before.answered(*before.take(9))
    before.lane_client.leave()
    lanes.clock.pass_s(60)
    after = lanes.worker("w2", limits="3/h")
    assert after.take(9) == []
    lanes.clock.pass_s(HOUR_S - 60 + GUARD_S)
    assert len(after.take(9)) == 3


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_budgets_holds_and_queues_outlive_redis(tmp_path: Path, ending: signal.Signals) -> None:
    with embedded_redis(tmp_path) as socket, closing(Redis(unix_socket_path=str(socket))) as redis:
        lanes = Lanes(redis)
        clock = lanes.clock
        worker = lanes.worker(limits="3/h")
        lanes.submit(10)
        lanes.submit(5, "b2", lane=OTHER_LANE)
        leases = worker.take(2)
        worker.answered(*(lease for lease in leases if lease.lane == LANE))
        worker.held_up(*(lease for lease in leases if lease.lane == OTHER_LANE), scope="lane", reason="model")
        worker.take(2)
        end_redis(redis, socket, ending)
        with embedded_redis(tmp_path) as again, closing(Redis(unix_socket_path=str(again))) as new:
            check_that_all_is_remembered(new, clock, worker)


def check_that_all_is_remembered(redis: Redis, clock: Clock, worker: Worker) -> None:
    lane_client = LaneClient(
        redis,
        clock=clock,
        worker="w1",
        accounts={"chat": worker.account},
        limits=RateLimits.parse("3/h"),
        ceiling=None,
    )
    after = Worker(lane_client, "w1", worker.account)
    assert redis.llen(f"rq:queue:{LANE}@b1") == 7
    assert redis.llen(f"rq:queue:{OTHER_LANE}@b2") == 5
    clock.pass_s(HOUR_S - 1)
    assert after.take(9) == [], "the window is as spent as before, and the other lane on hold"
    clock.pass_s(1 + GUARD_S)
    assert [lease.lane for lease in after.take(9)] == [LANE] * 3
