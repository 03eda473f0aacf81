"""Taking jobs: a permit before a job, fair turns, and one holder at a time."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis
from support.lanes import LANE, OTHER_LANE, UNREADY_LOOK_S, Lanes, Worker, jobs_of

from jobs.core.controls import NO_CONTROLS, Limit, Pause
from jobs.core.rates import Window
from jobs.lanes import TASK, Depth, queue_name
from jobs.lanes.scripts import text
from worker.engine.exchange import Lease, Move, Settlement
from worker.engine.lane_client import EXECUTION_TTL_S, LEASE_S


def one_by_one(worker: Worker, count: int) -> list[str]:
    """Take and answer `count` jobs, one at a time; their ids."""
    done = []
    for _ in range(count):
        leases = worker.take(1)
        done += jobs_of(leases)
        worker.answered(*leases)
    return done


# Permit before job --------------------------------------------------------------------------------------


def test_without_a_permit_the_job_stays_where_it_is(lanes: Lanes) -> None:
    worker = lanes.worker(limits="2/h")
    lanes.submit(10)
    worker.take(5)
    before = lanes.redis.lrange(f"rq:queue:{LANE}@b1", 0, -1)
    for _ in range(5):
        lanes.clock.pass_s(1)
        assert worker.take(5) == []
    assert lanes.redis.lrange(f"rq:queue:{LANE}@b1", 0, -1) == before
    assert lanes.queued() == 8


def test_without_a_job_no_permit_is_spent(lanes: Lanes) -> None:
    worker = lanes.worker(limits="2/h")
    lanes.submit(1)
    leases = worker.take(5)
    for _ in range(5):
        assert worker.take(5) == []
    worker.answered(*leases)
    assert lanes.gate().spent == (1,)
    lanes.submit(5)
    assert len(worker.take(5)) == 1


def test_who_wants_nothing_takes_nothing(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    assert worker.take(0) == []
    assert lanes.queued() == 3


def test_a_suspended_rq_takes_nothing_and_says_so(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    lanes.redis.set("rq:suspended", 1)
    assert worker.take(3) == []
    assert worker.turned.suspended
    lanes.redis.delete("rq:suspended")
    assert len(worker.take(3)) == 3


def test_the_next_look_is_due_when_the_gate_opens_and_within_a_second_at_most(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    worker.refused(*worker.take(1), hint_s=1.4)
    assert worker.take(1) == []
    assert worker.turned.wait_s == 1
    assert worker.turned.waiting == 1
    lanes.clock.pass_s(1)
    worker.take(1)
    assert worker.turned.wait_s == 0.4


def test_a_worker_that_fell_silent_is_something_to_wait_for(lanes: Lanes) -> None:
    """Else `--burst` would leave before its jobs are taken over, and nobody else might come."""
    lost, worker = lanes.worker(), lanes.worker()
    lanes.submit(1)
    lost.take(1)
    worker.take(1)
    assert worker.turned.waiting == 0
    lanes.clock.pass_s(10)
    worker.take(1)
    assert worker.turned.waiting == 1


def test_a_lease_on_what_is_no_job_any_more_is_nothing_to_wait_for(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    [lease] = worker.take(1)
    lanes.redis.delete(f"rq:job:{lease.job}")
    lanes.clock.pass_s(LEASE_S)
    assert lost(worker) == []
    worker.take(1)
    assert worker.turned.waiting == 0


def test_what_waits_in_the_ledger_alone_is_something_to_wait_for(lanes: Lanes, worker: Worker) -> None:
    lanes.redis.hset("chartq:beyond", queue_name(LANE, "b1"), 5)
    worker.take(1)
    assert worker.turned.waiting == 1
    lanes.queues.nothing_beyond(lane=LANE, batch_id="b1")
    worker.take(1)
    assert worker.turned.waiting == 0


@pytest.mark.parametrize("whose", ["nobody's", "another project's"])
def test_nothing_is_taken_from_a_redis_whose_pauses_are_not_ours(lanes: Lanes, worker: Worker, whose: str) -> None:
    lanes.submit(3)
    assert len(worker.take(1)) == 1
    lanes.redis.delete("chartq:controls")
    if whose == "another project's":
        told(lanes, store="another")
    assert worker.poll([], want=1, in_hand=list(worker.held.values())).leases == []
    assert worker.turned.recalled


def test_a_held_lane_is_nothing_to_wait_for(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    worker.held_up(*worker.take(1))
    worker.take(1)
    assert worker.turned.waiting == 0


@pytest.mark.parametrize(
    ("paused", "pause_s", "gate", "wait_s"),
    [
        ("model org/model", 0.3, "open", 0.3),
        ("model org/model", 0.3, "closed", 0.7),
        ("model org/model", 0.3, "held", None),
        ("model org/model", None, "open", None),
        ("model org/model", None, "closed", None),
        ("batch b1", 0.3, "open", 0.3),
        ("batch b1", 0.3, "closed", 0.7),
        ("batch b1", 0.3, "held", None),
        ("batch b1", None, "open", None),
    ],
)
def test_what_is_paused_is_waited_for_if_it_goes_on_by_itself(
    lanes: Lanes, worker: Worker, paused: str, pause_s: float | None, gate: str, wait_s: float | None
) -> None:
    lanes.submit(3)
    lease = worker.take(1)
    if gate == "held":
        worker.held_up(*lease)
    elif gate == "closed":
        worker.refused(*lease, hint_s=0.7)
    ends = None if pause_s is None else lanes.clock.now() + pause_s
    told(lanes, pauses={paused: Pause(by="ann", since=0, until=ends)})
    assert worker.take(1) == []
    assert worker.turned.waiting == (wait_s is not None)
    assert worker.turned.wait_s == pytest.approx(wait_s or 1.0, abs=0.002)


@pytest.mark.parametrize(
    ("pauses", "wait_s"),
    [
        ({"*": 0.3}, 0.3),
        ({"model org/model": 0.3}, 0.3),
        ({"model org/model:novita": 0.3}, 0.3),
        ({"batch b1": 0.3}, 0.3),
        ({"*": 0.6, "model org/model": 0.3}, 0.6),
        ({"*": 0.3, "model org/model": 0.6}, 0.6),
        ({"*": -0.1, "batch b1": -0.1}, None),
        ({"model org/other": 0.3, "model org/model:together": 0.3, "batch b2": 0.3}, None),
    ],
)
def test_a_pause_keeps_what_it_names_until_it_is_over(
    lanes: Lanes, worker: Worker, pauses: dict[str, float], wait_s: float | None
) -> None:
    lanes.submit(1, lane=f"{LANE}:novita")
    now = lanes.clock.now()
    told(lanes, pauses={name: Pause(by="ann", since=0, until=now + ends_s) for name, ends_s in pauses.items()})
    assert len(worker.take(1)) == (wait_s is None)
    assert worker.turned.wait_s == pytest.approx(wait_s or 1.0, abs=0.002)
    lanes.clock.pass_s(wait_s or 0)
    assert len([*worker.held, *worker.take(1)]) == 1


@pytest.mark.parametrize(("also", "at_once"), [({}, 3), ({"org/model:novita": 5}, 5), ({"org/model:together": 1}, 3)])
def test_a_limit_on_a_model_holds_for_each_provider_that_has_none_of_its_own(
    lanes: Lanes, worker: Worker, also: dict[str, int], at_once: int
) -> None:
    lanes.submit(9, lane=f"{LANE}:novita")
    limits = {"org/model": 3, **also}
    told(lanes, limits={name: Limit(by="ann", since=0, concurrency=most) for name, most in limits.items()})
    assert len(worker.take(9)) == at_once


def test_with_a_budget_few_jobs_are_taken_before_their_pictures_are_ready(lanes: Lanes) -> None:
    worker = lanes.worker(limits="600/m")
    lanes.submit(9)
    lanes.submit(9, "b2", lane=OTHER_LANE)
    first = worker.poll([], want=20).leases
    assert Counter(lease.lane for lease in first) == {LANE: 4, OTHER_LANE: 4}
    assert worker.turned.wait_s == UNREADY_LOOK_S
    unready = [lease.lane for lease in first][2:]  # two of each lane, by turns: one of each is ready
    assert Counter(lease.lane for lease in worker.poll([], want=20, unready=unready).leases) == {LANE: 1, OTHER_LANE: 1}


# In hand ------------------------------------------------------------------------------------------------


def test_beyond_what_a_worker_wants_it_gets_jobs_to_have_in_hand(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(9)
    assert len(worker.poll([], want=3, ahead=4).leases) == 7
    assert len(worker.poll([], want=0, ahead=4).leases) == 2


@pytest.mark.parametrize("counted", ["budget", "in flight", "after a refusal", "a new account", "set by somebody"])
def test_nothing_is_had_in_hand_where_it_counts_when_calls_begin_or_how_many_there_are(
    lanes: Lanes, counted: str
) -> None:
    worker = lanes.worker(
        limits="9/m" if counted == "budget" else "",
        ceiling=9 if counted == "in flight" else None,
        proven=counted != "a new account",
    )
    lanes.submit(20)
    if counted == "after a refusal":
        worker.refused(*worker.take(4))
        lanes.clock.pass_s(1.1)
        worker.answered(*worker.take(1))
        lanes.submit(1)
    if counted == "set by somebody":
        told(lanes, limits={"org/model": Limit(by="ann", since=0, concurrency=9)})
    assert len(worker.poll([], want=1, ahead=4).leases) == 1


@pytest.mark.parametrize(
    "against", ["paused lane", "paused batch", "suspended", "refused", "held", "limited", "flushed"]
)
def test_what_speaks_against_a_call_recalls_the_jobs_in_hand(lanes: Lanes, against: str) -> None:
    worker, other = lanes.worker(), lanes.worker("w2")
    lanes.submit(9)
    in_hand, others = worker.poll([], want=0, ahead=2).leases, other.take(1)
    assert not worker.poll([], want=0, in_hand=in_hand).recalled
    match against:
        case "paused lane":
            told(lanes, pauses={"model org/model": Pause(by="ann", since=0)})
        case "paused batch":
            told(lanes, pauses={"batch b1": Pause(by="ann", since=0)})
        case "suspended":
            lanes.redis.set("rq:suspended", 1)
        case "refused":
            other.refused(*others)
        case "held":
            other.held_up(*others)
        case "limited":
            told(lanes, limits={"org/model": Limit(by="ann", since=0, windows=(Window(calls=90, window_ms=60_000),))})
        case "flushed":
            lanes.redis.flushall()
    assert worker.poll([], want=0, in_hand=in_hand).recalled


def told(lanes: Lanes, **controls: Any) -> None:
    lanes.queues.set_controls(replace(NO_CONTROLS, version=1, **controls))


@pytest.mark.parametrize(
    ("own", "own_ceiling", "windows", "concurrency", "at_once"),
    [
        ("3/m", None, (Window(calls=5, window_ms=60_000),), None, 3),
        ("5/m", None, (Window(calls=3, window_ms=60_000),), None, 3),
        ("5/m", None, (Window(calls=3, window_ms=3_600_000),), None, 3),
        ("3/m", None, (Window(calls=5, window_ms=3_600_000),), None, 3),
        ("", None, (Window(calls=3, window_ms=60_000),), None, 3),
        ("", 3, (), 5, 3),
        ("", 5, (), 3, 3),
        ("", None, (), 3, 3),
        ("", 3, (Window(calls=5, window_ms=60_000),), None, 3),
    ],
)
def test_what_somebody_has_set_and_what_the_worker_has_hold_side_by_side(
    lanes: Lanes, own: str, own_ceiling: int | None, windows: tuple[Window, ...], concurrency: int | None, at_once: int
) -> None:
    worker = lanes.worker(limits=own, ceiling=own_ceiling)
    lanes.submit(20)
    told(lanes, limits={"org/model": Limit(by="ann", since=0, windows=windows, concurrency=concurrency)})
    assert len(worker.take(9)) == at_once


# Order --------------------------------------------------------------------------------------------------


def test_a_batch_is_taken_in_the_order_of_submission(lanes: Lanes, worker: Worker) -> None:
    job_ids = lanes.submit(12)
    assert jobs_of(worker.take(5)) + one_by_one(worker, 7) == job_ids


@pytest.mark.parametrize("verdict", ["throttled", "unreachable", "hold", "unused", "gone"])
def test_jobs_that_come_back_stand_ahead_of_what_never_started(lanes: Lanes, worker: Worker, verdict: str) -> None:
    job_ids = lanes.submit(10)
    leases = worker.take(3)
    worker.settle(leases[1:2], verdict=verdict, to="front", why="throttled", scope="lane", reason="model", message="")
    lanes.gates.resume(lanes.gates.all())
    lanes.clock.pass_s(60)
    assert jobs_of(worker.take(1)) == [job_ids[1]]


def test_delayed_jobs_come_when_they_are_due_and_not_earlier_ahead_of_the_others(lanes: Lanes, worker: Worker) -> None:
    job_ids = lanes.submit(4)
    worker.failed(worker.take(1)[0], delay_s=7)
    lanes.clock.pass_s(6.999)
    assert jobs_of(worker.take(1)) == [job_ids[1]]
    lanes.clock.pass_s(0.001)
    assert jobs_of(worker.take(9)) == [job_ids[0], *job_ids[2:]]


def test_the_wait_for_a_delayed_job_is_known(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    worker.failed(worker.take(1)[0], delay_s=0.5)
    assert worker.take(1) == []
    assert worker.turned.wait_s == pytest.approx(0.5, abs=0.002)
    assert worker.turned.waiting == 1


def test_a_delayed_job_of_a_closed_lane_waits_for_the_gate(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(2)
    first, second = worker.take(2)
    worker.failed(first, delay_s=1)
    worker.refused(second, hint_s=60)
    lanes.clock.pass_s(30)
    assert worker.take(2) == []
    lanes.clock.pass_s(30)
    assert jobs_of(worker.take(1)) == [first.job]


def test_lanes_take_turns(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(100)
    lanes.submit(10, "b2", lane=OTHER_LANE)
    assert [lease.lane for lease in worker.take(8)].count(OTHER_LANE) == 4
    taken = [worker.take(1)[0].lane for _ in range(8)]
    assert taken.count(OTHER_LANE) == 4


def test_the_lane_that_gave_the_last_job_of_a_round_begins_no_other(lanes: Lanes, worker: Worker) -> None:
    for batch_id, lane in [("b1", LANE), ("b2", OTHER_LANE)]:
        lanes.submit(9, batch_id, lane=lane)
    rounds = [[lease.lane for lease in worker.take(3)] for _ in range(4)]
    assert rounds == [[LANE, OTHER_LANE, LANE], [OTHER_LANE, LANE, OTHER_LANE]] * 2


@pytest.mark.parametrize("obstacle", ["closed", "held", "spent", "full"])
def test_a_lane_that_has_to_wait_never_blocks_another(lanes: Lanes, obstacle: str) -> None:
    worker = lanes.worker(limits="org/model=1/h" if obstacle == "spent" else "")
    lanes.submit(20)
    leases = worker.take(1)
    if obstacle == "closed":
        worker.refused(*leases, hint_s=60)
    elif obstacle == "held":
        worker.held_up(*leases, scope="lane")
    elif obstacle == "full":
        lanes.redis.hset(f"chartq:gate:{worker.account}:{LANE}", "limit", 1)
    lanes.submit(10, "b2", lane=OTHER_LANE)
    assert {lease.lane for lease in worker.take(10)} == {OTHER_LANE}
    assert len(worker.held) >= 10


def test_a_chart_submitted_after_a_thousand_does_not_wait_for_all_of_them(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1000, "big")
    one_by_one(worker, 5)
    [late] = lanes.submit(1, "small")
    assert late in one_by_one(worker, 2)


def test_batches_of_a_lane_take_turns(lanes: Lanes, worker: Worker) -> None:
    for batch in ("a", "b", "c"):
        lanes.submit(30, batch)
    batches = [job[0] for job in one_by_one(worker, 30)]
    assert {batch: batches.count(batch) for batch in "abc"} == {"a": 10, "b": 10, "c": 10}


def test_high_priority_goes_before_normal_before_low_whenever_it_comes(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3, "low", priority="low")
    lanes.submit(3, "normal")
    assert [job.split("-")[0] for job in one_by_one(worker, 2)] == ["normal"] * 2
    lanes.submit(3, "high", priority="high")
    expected = ["high"] * 3 + ["normal"] + ["low"] * 3
    assert [job.split("-")[0] for job in one_by_one(worker, 7)] == expected


def test_an_api_kind_that_this_worker_has_no_account_for_is_left_to_others(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3, lane="task:org/model")
    assert worker.take(3) == []
    assert lanes.queued("task:org/model") == 3


# One holder at a time -----------------------------------------------------------------------------------


def lost(worker: Worker) -> list[tuple[Lease, str]]:
    """What has run out, as the maintenance sees it."""
    return worker.lane_client.expired(100)


def status_of(lanes: Lanes, job_id: str) -> str:
    return text(lanes.redis.hget(f"rq:job:{job_id}", "status"))


def test_no_two_workers_ever_hold_the_same_job(lanes: Lanes) -> None:
    workers = [lanes.worker(f"w{number}") for number in range(4)]
    lanes.submit(50)
    taken = [job for _ in range(5) for worker in workers for job in jobs_of(worker.take(3))]
    assert len(taken) == len(set(taken)) == 50


def test_a_job_that_stands_in_a_queue_while_somebody_has_it_is_not_given_twice(lanes: Lanes) -> None:
    first, second = lanes.worker("w1"), lanes.worker("w2")
    job, other = lanes.submit(2)
    first.take(1)
    lanes.redis.lpush(f"rq:queue:{LANE}@b1", job)
    assert jobs_of(second.take(2)) == [other]


def test_one_worker_at_a_time_looks_after_what_is_lost(lanes: Lanes) -> None:
    first, second = lanes.worker("w1").lane_client, lanes.worker("w2").lane_client
    assert [client.may_maintain(3600) for client in (first, second, first)] == [True, False, True]


@pytest.mark.parametrize("to", ["finished", "failed", "front", "back", "delay", "alone", "drop", "refuse"])
def test_a_settlement_of_an_execution_that_lost_its_job_moves_nothing(lanes: Lanes, to: Any) -> None:
    slow, quick = lanes.worker("w1"), lanes.worker("w2")
    [job] = lanes.submit(1)
    [old] = slow.take(1)
    lanes.clock.pass_s(LEASE_S + 1)
    [(found, _)] = lost(quick)
    quick.settle([found], to="front")
    [new] = quick.take(1)
    assert new.job == job
    slow.settle([old], verdict="ok", to=to, delay_s=5)
    assert status_of(lanes, job) == "started"
    assert lanes.redis.hget(f"rq:job:{job}", "execution") == new.execution.encode()
    assert lanes.queued() == 0
    quick.answered(new)
    assert status_of(lanes, job) == "finished"


def contents(redis: Redis) -> dict[bytes, bytes | None]:
    """Everything in Redis but the worker's own record and its last poll."""
    keys = [key for key in redis.scan_iter() if key != b"rq:worker:w1" and not key.startswith(b"chartq:last-turn:")]
    return {key: redis.dump(key) for key in keys}


@pytest.mark.parametrize("to", ["finished", "failed", "front", "back", "delay", "alone", "drop", "refuse"])
def test_settling_twice_is_as_good_as_once(lanes: Lanes, to: Any) -> None:
    worker = lanes.worker(limits="5/h")
    lanes.submit(3)
    [lease] = worker.take(1)
    settled = [Settlement(lease=lease, verdict="ok", to=to, delay_s=5)]
    worker.poll(settled, want=0)
    before = contents(lanes.redis)
    worker.poll(settled, want=0)
    assert contents(lanes.redis) == before
    assert lanes.redis.hget("rq:worker:w1", "successful_job_count") in (None, b"1")


def test_a_lease_that_ran_out_is_found_and_a_live_one_is_not(lanes: Lanes) -> None:
    dead, live = lanes.worker("dead"), lanes.worker("live")
    lanes.submit(4)
    gone, kept = dead.take(2), live.take(2)
    for _ in range(4):
        lanes.clock.pass_s(5)
        live.heartbeat()
    found = lost(live)
    assert sorted(lease.execution for lease, _ in found) == sorted(lease.execution for lease in gone)
    assert {(lease.lane, lease.queue, name) for lease, name in found} == {(LANE, queue_name(LANE, "b1"), "dead")}
    live.answered(*kept)
    lanes.clock.pass_s(3600)
    assert len(lost(live)) == 2


def test_before_the_lease_runs_out_nothing_is_lost(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    worker.take(1)
    lanes.clock.pass_s(LEASE_S - 0.001)
    assert lost(worker) == []
    lanes.clock.pass_s(0.001)
    assert len(lost(worker)) == 1


def test_rq_sees_an_execution_for_much_longer_than_our_lease_so_that_it_never_fails_a_job_first() -> None:
    assert EXECUTION_TTL_S > 3 * LEASE_S


def test_a_heartbeat_writes_down_anew_what_redis_has_lost(lanes: Lanes) -> None:
    worker, other = lanes.worker("w1", ceiling=2), lanes.worker("w2", ceiling=2)
    [job, _] = lanes.submit(2)
    [lease] = worker.take(1)
    lanes.redis.flushall()
    known_since = worker.heartbeat().known_since_ms
    assert known_since == lanes.clock.now_ms
    assert lanes.queues.unknown([job]) == [], "resume doesn't put it back while it runs"
    assert lanes.redis.smembers("rq:queues") == {f"rq:queue:{LANE}@b1".encode()}
    assert lanes.redis.zcard(f"chartq:permits:{worker.account}:{LANE}") == 1
    lanes.clock.pass_s(5)
    assert worker.heartbeat().known_since_ms == known_since
    worker.answered(lease)
    assert status_of(lanes, job) == "finished"
    assert lost(other) == []


@pytest.mark.parametrize("to", ["delay", "front", "back"])
def test_what_redis_lost_while_it_was_called_for_is_taken_again_when_it_comes_back(lanes: Lanes, to: Move) -> None:
    worker = lanes.worker()
    lanes.submit(1)
    [lease] = worker.take()
    lanes.redis.flushall()
    worker.heartbeat()
    worker.settle([lease], verdict="gone", to=to, delay_s=3.0 if to == "delay" else None)
    lanes.clock.pass_s(3)
    assert [*worker.take(), *worker.take()][0].job == lease.job


def test_a_call_that_takes_longer_than_a_lease_counts_as_in_flight_and_is_heard(lanes: Lanes) -> None:
    worker = lanes.worker(ceiling=1)
    lanes.submit(2)
    [lease] = worker.take(1)
    for _ in range(5):
        lanes.clock.pass_s(5)
        worker.heartbeat()
    assert worker.take(1) == []
    worker.refused(lease, hint_s=7)
    assert lanes.gate().why == "throttled"


def test_a_heartbeat_tells_which_executions_are_somebody_elses_by_now(lanes: Lanes) -> None:
    slow, quick = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(2)
    mine, kept = slow.take(2)
    lanes.clock.pass_s(LEASE_S + 1)
    quick.settle([lease for lease, _ in lost(quick) if lease.job == mine.job], to="front")
    quick.take(1)
    assert slow.heartbeat().lost == [mine.execution]
    assert kept.execution in slow.held


def test_a_worker_that_left_no_longer_counts(lanes: Lanes, worker: Worker) -> None:
    assert len(lanes.gates.workers()) == 1
    worker.take(1)
    worker.lane_client.leave()
    assert lanes.gates.workers() == []
    assert lanes.redis.keys("chartq:last-turn:*") == []


def test_a_worker_that_was_killed_is_forgotten_by_the_others_heartbeats(lanes: Lanes) -> None:
    lanes.worker("killed")
    lanes.clock.pass_s(60)
    lanes.worker("alive")
    assert lanes.redis.hkeys("chartq:workers") == [b"alive"]


def test_another_worker_that_leaves_does_not_end_a_workers_turn_to_empty_itself(lanes: Lanes) -> None:
    first, second, third = (lanes.worker(name) for name in ("w1", "w2", "w3"))
    lanes.submit(2)
    first.take(2)
    send_alone(lanes)
    assert first.take(1) == []
    second.lane_client.leave()
    assert third.take(1) == []
    first.answered(*first.held.values())
    assert [lease.alone for lease in first.take(1)] == [1]


def test_a_heartbeat_brings_no_permit_back_whose_answer_the_gate_has_heard(lanes: Lanes) -> None:
    """A failure is heard before it is written, and its job moved after that."""
    worker = lanes.worker(ceiling=1)
    lanes.submit(2)
    [lease] = worker.take(1)
    worker.settle([lease], verdict="transient")
    worker.held[lease.execution] = lease
    worker.heartbeat()
    assert lanes.gate().in_flight == 0
    assert len(worker.take(1)) == 1


def test_what_rq_sees_of_a_worker_that_was_killed_goes_away_by_itself_and_lives_as_long_as_it_does(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(1)
    worker.take(1)
    keys = [*lanes.redis.keys("rq:execution*"), f"rq:worker:{worker.name}:executions"]
    assert len(keys) == 3
    for _ in range(2):
        for key in keys:
            assert LEASE_S < lanes.redis.ttl(key) <= EXECUTION_TTL_S, key
            lanes.redis.expire(key, 10)
        worker.heartbeat()


# Alone --------------------------------------------------------------------------------------------------


def send_alone(lanes: Lanes, count: int = 1) -> list[str]:
    """`count` jobs that were lost with their worker."""
    victim = lanes.worker("victim")
    job_ids = lanes.submit(count, "lost", priority="high")
    leases = victim.take(count)
    assert sorted(jobs_of(leases)) == sorted(job_ids)
    victim.settle(leases, to="alone")
    victim.lane_client.leave()
    lanes.redis.delete(f"chartq:permits:{victim.account}:{LANE}")
    return job_ids


def test_a_job_that_was_lost_with_its_worker_runs_alone_in_its_next_one(lanes: Lanes, worker: Worker) -> None:
    [job] = send_alone(lanes)
    lanes.submit(10)
    leases = worker.take(9)
    assert [(lease.job, lease.alone) for lease in leases] == [(job, 1)]
    worker.answered(*leases)
    assert len(worker.take(9)) == 9


def test_a_worker_empties_itself_first_and_takes_nothing_meanwhile(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(10)
    busy = worker.take(3)
    [job] = send_alone(lanes)
    assert worker.take(5) == []
    assert worker.turned.waiting == 1
    worker.answered(*busy[:2])
    assert worker.take(5) == []
    worker.answered(busy[2])
    assert jobs_of(worker.take(5)) == [job]


def test_one_worker_empties_itself_while_the_others_go_on_without_the_lone_jobs(lanes: Lanes) -> None:
    first, second = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(40)
    busy = first.take(2)
    alone = send_alone(lanes, 2)
    assert first.take(5) == []
    assert len(second.take(16)) == 16
    assert {lease.alone for lease in second.held.values()} == {0}
    first.answered(*busy)
    [lease] = first.take(5)
    assert lease.job in alone
    assert {lease.alone for lease in second.take(16)} == {0}


def test_a_lone_job_finds_a_place_while_another_worker_fills_the_lane_to_its_ceiling(lanes: Lanes) -> None:
    first, second = (lanes.worker(name, ceiling=2) for name in ("w1", "w2"))
    [job] = send_alone(lanes)
    mine = first.take(1)
    assert [lease.alone for lease in mine] == [1]
    lanes.submit(20, "b9")
    assert len(second.take(2)) == 1, "the ceiling is two"
    first.settle(mine, verdict="gone", to="front")
    first.held["busy"] = mine[0]
    assert first.take(1) == [], "it empties itself for the job"
    first.held.clear()
    for _ in range(3):
        second.answered(*second.held.values())
        second.take(2)
        if leases := first.take(2):
            assert [(lease.job, lease.alone) for lease in leases] == [(job, 1)]
            return
    raise AssertionError("the other worker took every place")


def test_a_lone_job_that_is_lost_again_is_found_among_the_lone_jobs(lanes: Lanes) -> None:
    first, second = lanes.worker("w1"), lanes.worker("w2")
    [job] = send_alone(lanes)
    first.take(1)
    lanes.clock.pass_s(LEASE_S)
    assert [(lease.job, lease.queue) for lease, _ in lost(second)] == [(job, f"{LANE}@alone")]
    second.lane_client.move([Settlement(lease=lease, to="alone", worker=name) for lease, name in lost(second)])
    assert lanes.queues.depths([LANE]) == [Depth(lane=LANE, queued=1, scheduled=0, started=0)]


def test_a_lone_job_waits_while_its_lane_is_paused(lanes: Lanes, worker: Worker) -> None:
    [job] = send_alone(lanes)
    told(lanes, pauses={"model org/model": Pause(by="ann", since=0)})
    assert worker.take(1) == []
    lanes.queues.set_controls(replace(NO_CONTROLS, version=2))
    assert jobs_of(worker.take(1)) == [job]


def test_a_lone_job_waits_for_a_place_below_the_ceiling(lanes: Lanes) -> None:
    send_alone(lanes, 2)
    worker, other = (lanes.worker(name, ceiling=1) for name in ("w1", "w2"))
    busy = other.take(1)
    lanes.redis.delete("chartq:alone-turn")  # it has run out
    assert worker.take(1) == []
    other.answered(*busy)
    assert [lease.alone for lease in worker.take(1)] == [1]


def test_while_a_lone_job_runs_no_place_is_kept_for_the_next(lanes: Lanes) -> None:
    first, second = (lanes.worker(name, ceiling=2) for name in ("w1", "w2"))
    send_alone(lanes, 2)
    lanes.submit(5)
    assert [lease.alone for lease in first.take(2)] == [1]
    assert [lease.alone for lease in second.take(2)] == [0]


def test_a_place_that_is_kept_for_a_lone_job_does_not_keep_the_probe_out(lanes: Lanes) -> None:
    first, second = (lanes.worker(name, ceiling=1) for name in ("w1", "w2"))
    send_alone(lanes)
    lanes.submit(5)
    first.refused(*first.take(1))
    lanes.clock.pass_s(1)
    assert [(lease.probe, lease.alone) for lease in second.take(1)] == [(1, 0)]


@pytest.mark.parametrize("to", ["delay", "back"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_lone_job_that_failed_lets_the_others_go_first_if_they_may_go(
    lanes: Lanes, worker: Worker, to: Move, paused: bool
) -> None:
    [job] = send_alone(lanes)
    [other] = lanes.submit(1)
    worker.settle(worker.take(1), verdict="ok", to=to, delay_s=0)
    if paused:
        told(lanes, pauses={"batch b1": Pause(by="ann", since=0)})
    assert jobs_of(worker.take(1)) == [job if paused else other]


def test_a_lone_job_that_comes_back_later_is_alone_again(lanes: Lanes, worker: Worker) -> None:
    [job] = send_alone(lanes)
    lanes.submit(10)
    worker.failed(worker.take(1)[0], delay_s=5)
    busy = worker.take(3)
    assert {lease.alone for lease in busy} == {0}
    lanes.clock.pass_s(5)
    assert worker.take(5) == []
    worker.answered(*busy)
    assert jobs_of(worker.take(5)) == [job]


def test_lone_jobs_wait_for_their_gate_like_all_others_and_do_not_block_them(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(5)
    send_alone(lanes)
    lanes.submit(5, "b2", lane=OTHER_LANE)
    worker.refused(*worker.take(1), hint_s=60)
    assert {lease.lane for lease in worker.take(9)} == {OTHER_LANE}


@pytest.mark.parametrize("why", ["throttled", "unreachable", "outage"])
def test_a_lone_job_is_the_probe_only_where_no_other_waits(lanes: Lanes, why: str) -> None:
    """It may be one that is never answered: then nobody would find out that the provider is there again."""
    worker, other = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(9)
    [job] = send_alone(lanes)
    lone, busy = worker.take(1), other.take(5)
    worker.unused(*lone)
    if why == "throttled":
        other.refused(*busy)
    elif why == "unreachable":
        other.unreached(*busy)
    else:
        for lease in busy:
            other.failed(lease, delay_s=60)
    for _ in range(3):
        assert lanes.gate().why == why
        lanes.clock.pass_s(9)
        probe = worker.take(9)
        assert [(lease.probe, lease.alone) for lease in probe] == [(1, 0)]
        if why == "outage":
            worker.failed(*probe)
        else:
            worker.settle(probe, verdict=why, why=why, to="front")
    lanes.clock.pass_s(9)
    worker.answered(*worker.take(9))
    assert jobs_of(worker.take(1)) == [job], "it runs once the gate is open"


@pytest.mark.parametrize("workers", [1, 2])
def test_lone_jobs_that_fail_take_turns_with_the_others_where_few_calls_may_be_in_flight(
    lanes: Lanes, workers: int
) -> None:
    """A few that are never answered would keep everybody waiting until their attempts are used up."""
    send_alone(lanes, 3)
    crew = [lanes.worker(f"w{number}", ceiling=1) for number in range(workers)]
    lanes.submit(30, "b1")
    lanes.submit(30, "b2")
    lone = []
    for number in range(24):
        worker = crew[number % workers]
        [lease] = worker.take(1) or crew[number % workers - 1].take(1)
        lone.append(lease.alone)
        if lease.alone:
            next(one for one in crew if one.held).failed(lease, delay_s=1)
        else:
            next(one for one in crew if one.held).answered(lease)
        lanes.clock.pass_s(1)
    assert lone[:3] == [1, 1, 1], "those that have not run alone yet go first"
    assert 10 <= lone.count(0) < 21


@pytest.mark.parametrize("paused", [0, 3])
def test_where_nobody_else_may_go_a_lone_job_is_the_probe(lanes: Lanes, worker: Worker, paused: int) -> None:
    [job] = send_alone(lanes)
    worker.refused(*worker.take(1))
    if paused:
        lanes.submit(paused)
        told(lanes, pauses={"batch b1": Pause(by="ann", since=0)})
    lanes.clock.pass_s(300)
    assert [(lease.job, lease.probe) for lease in worker.take(9)] == [(job, 1)]


def test_when_the_worker_that_empties_itself_leaves_another_takes_the_turn(lanes: Lanes) -> None:
    first, second = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(2)
    first.take(2)
    [job] = send_alone(lanes)
    assert first.take(1) == []
    assert second.take(1) == []
    assert second.turned.waiting == 1, "work that will come: nobody has to leave for want of it"
    first.lane_client.leave()
    assert jobs_of(second.take(1)) == [job]


# What is not ours ---------------------------------------------------------------------------------------


def test_ids_without_a_job_and_jobs_without_data_are_set_aside_and_the_others_go_on(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.redis.rpush(f"rq:queue:{LANE}@b1", "forged")
    lanes.redis.hset("rq:job:empty", "status", "queued")
    lanes.redis.rpush(f"rq:queue:{LANE}@b1", "empty")
    job_ids = lanes.submit(2)
    assert jobs_of(worker.take(5)) == job_ids
    assert list(worker.turned.refused) == ["forged", "empty"]
    assert lanes.redis.lrange("chartq:refused", 0, -1) == [b"empty", b"forged"]


def test_forged_ids_among_the_lone_jobs_are_set_aside_too(lanes: Lanes, worker: Worker) -> None:
    send_alone(lanes)
    lanes.redis.lpush(f"rq:queue:{LANE}@alone", "forged", "of another type")
    lanes.redis.set("rq:job:of another type", "no hash")
    assert [lease.alone for lease in worker.take(5)] == [1]
    assert list(worker.turned.refused) == ["of another type", "forged"]


@pytest.mark.parametrize("forged", [b"\xff\xfe\x00", b"\x80\x04\x95pickled", "Größe — ‘x’".encode(), b'"]}\\'])
def test_forged_ids_of_any_bytes_are_set_aside(lanes: Lanes, worker: Worker, forged: bytes) -> None:
    lanes.redis.rpush(f"rq:queue:{LANE}@b1", forged)
    job_ids = lanes.submit(1)
    assert jobs_of(worker.take(5)) == job_ids
    assert [job.encode("utf-8", "surrogateescape") for job in worker.turned.refused] == [forged]


def test_forged_ids_among_the_delayed_leave_nothing_behind(lanes: Lanes, worker: Worker) -> None:
    job_ids = lanes.submit(1)
    lanes.redis.zadd(f"rq:scheduled:{LANE}@b1", {"forged": 1.0})
    assert jobs_of(worker.take(5)) == job_ids
    assert list(worker.turned.refused) == []
    assert lanes.redis.exists("rq:job:forged", f"rq:scheduled:{LANE}@b1") == 0


def test_a_key_of_another_kind_in_a_jobs_place_is_set_aside(lanes: Lanes, worker: Worker) -> None:
    lanes.redis.set("rq:job:string", "no hash")
    lanes.redis.rpush(f"rq:queue:{LANE}@b1", "string")
    job_ids = lanes.submit(1)
    assert jobs_of(worker.take(5)) == job_ids


def test_a_payload_of_any_bytes_reaches_the_worker_and_is_settled_as_it_says(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    forged = b"id-\xff"
    lanes.redis.hset(b"rq:job:" + forged, mapping={"status": "queued", "data": b"\x80\x04\x95\xff pickled"})
    lanes.redis.lpush(f"rq:queue:{LANE}@b1", forged)
    leases = worker.take(5)
    assert leases[0].data.encode("utf-8", "surrogateescape") == b"\x80\x04\x95\xff pickled"
    worker.settle(leases[:1], verdict="unused", to="refuse")
    assert not lanes.redis.exists(b"rq:job:" + forged)
    assert lanes.redis.lrange("chartq:refused", 0, -1) == [forged]


def test_the_list_of_what_was_set_aside_is_bounded(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    lanes.redis.rpush(f"rq:queue:{LANE}@b1", *(f"forged-{number}" for number in range(1500)))
    worker.take(5)
    assert lanes.redis.llen("chartq:refused") == 1000
    [job] = lanes.submit(1)
    worker.settle(worker.take(1), verdict="unused", to="refuse")
    assert lanes.redis.lrange("chartq:refused", 0, 0) == [job.encode()]
    assert lanes.redis.llen("chartq:refused") == 1000


def test_a_claim_says_what_to_run_and_nothing_more(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    [lease] = worker.take(1)
    assert json.loads(lease.data) == [TASK, None, [job], {}]
    assert (lease.lane, lease.queue, lease.account) == (LANE, f"{LANE}@b1", worker.account)
    assert lease.spent_ms == lanes.clock.now_ms
