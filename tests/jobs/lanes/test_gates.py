"""Gates: closed by the first refusal for everybody, opened by one probe; held until somebody acts."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from support.lanes import LANE, OTHER_LANE, Lanes, Worker, jobs_of

from jobs.core.controls import NO_CONTROLS, Pause
from jobs.lanes import account_of
from jobs.lanes.scripts import text
from worker.engine.exchange import Lease


def closed_for_s(lanes: Lanes) -> float:
    until_s = lanes.gate().until_s
    return 0.0 if until_s is None else round(until_s - lanes.clock.now_ms / 1000, 3)


def after_the_gate(lanes: Lanes) -> None:
    """Move on to the moment at which the gate opens."""
    lanes.clock.pass_s(closed_for_s(lanes))


def throttled(lanes: Lanes, worker: Worker) -> None:
    """The gate has been closed by a refusal, and is open again: one probe goes first."""
    worker.refused(*worker.take(1))
    after_the_gate(lanes)


# Unknown limits -----------------------------------------------------------------------------------------


def test_without_a_known_limit_everything_goes_at_once_until_the_first_refusal(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(64)
    leases = worker.take(64)
    assert len(leases) == 64
    worker.refused(leases[0])
    assert worker.take(64) == []


def test_a_refusal_closes_the_gate_for_all_workers_exactly_as_long_as_the_hint_says(lanes: Lanes) -> None:
    one, other = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(20)
    one.refused(*one.take(1), hint_s=7)
    assert (lanes.gate().why, closed_for_s(lanes)) == ("throttled", 7)
    [closing] = one.turned.closings  # for the log of the worker that brought the refusal
    assert (closing.lane, closing.why, closing.until_s) == (LANE, "throttled", lanes.gate().until_s)
    lanes.clock.pass_s(6.999)
    assert one.take(9) + other.take(9) == []
    assert one.turned.closings == []
    lanes.clock.pass_s(0.001)
    assert len(other.take(9)) == 1


def test_without_a_hint_the_gate_closes_for_a_second_doubling_to_fifteen_minutes(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    waits_s = []
    for _ in range(12):
        worker.refused(*worker.take(1))
        waits_s.append(closed_for_s(lanes))
        after_the_gate(lanes)
    assert waits_s == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_the_last_hours_calls_and_refusals_are_told_by_the_minute(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    lanes.clock.pass_s(60 - lanes.clock.now() % 60)
    for minutes in (0, 30, 40):
        lanes.clock.pass_s(60 * minutes)
        [lease] = worker.take(1)
        worker.answered(lease)
        worker.answered(lease)  # what is said twice is heard once
        worker.unused(*worker.take(1))
        worker.refused(*worker.take(1))
    [hour] = lanes.gates.hours([lanes.gate()])
    assert len(hour["calls"]) == len(hour["refused"]) == 60
    for minute, told in enumerate(zip(hour["calls"], hour["refused"], strict=True)):
        assert told == ((2, 1) if minute in (19, 59) else (0, 0)), minute


def test_what_a_gate_and_a_worker_note_for_a_while_goes_away_by_itself(lanes: Lanes) -> None:
    worker = lanes.worker(limits="30/h,5000/d")
    lanes.submit(3)
    first, second = worker.take(2)
    worker.failed(first)
    worker.answered(second)
    for kind in ("hour", "spent", "failing", "failers", "last-turn"):
        keys = lanes.redis.keys(f"chartq:{kind}:*")
        assert keys, kind
        for key in keys:
            assert lanes.redis.pttl(key) > 0, key


def test_a_success_ends_the_doubling(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    for _ in range(3):
        throttled(lanes, worker)
    worker.answered(*worker.take(1))
    worker.refused(*worker.take(1))
    assert closed_for_s(lanes) == 1


def test_jitter_only_lengthens_a_wait_and_never_by_more_than_a_second(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    worker.settle(worker.take(1), verdict="throttled", to="front", why="throttled", hint_s=3600, jitter=1.0)
    assert 3600 < closed_for_s(lanes) <= 3601


def test_after_a_refusal_one_probe_goes_first_and_its_answer_opens_the_gate(lanes: Lanes) -> None:
    one, other = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(40)
    leases = one.take(16)
    one.refused(leases[0])
    one.answered(*leases[1:])
    after_the_gate(lanes)
    [probe] = one.take(9)
    assert probe.probe == 1
    assert one.take(9) + other.take(9) == []
    assert lanes.gate().probing
    one.answered(probe)
    assert not lanes.gate().probing
    assert len(other.take(9)) > 1


def test_a_probe_that_is_never_answered_is_followed_by_another(lanes: Lanes) -> None:
    worker, other = lanes.worker("w1"), lanes.worker("w2")
    lanes.submit(5)
    throttled(lanes, worker)
    assert len(worker.take(1)) == 1
    lanes.clock.pass_s(14.9)
    assert other.take(1) == []
    lanes.clock.pass_s(0.2)
    assert len(other.take(1)) == 1


@pytest.mark.parametrize("verdict", ["unused", "gone", "suspect", "transient"])
def test_a_probe_that_says_nothing_is_followed_by_another(lanes: Lanes, worker: Worker, verdict: str) -> None:
    lanes.submit(5)
    throttled(lanes, worker)
    worker.settle(worker.take(1), verdict=verdict, to="front")
    assert [lease.probe for lease in worker.take(5)] == [1]


def test_concurrency_is_halved_by_a_refusal_and_grows_by_one_for_each_round_of_answers(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(200)
    leases = worker.take(16)
    worker.refused(leases[0])
    worker.answered(*leases[1:])
    after_the_gate(lanes)
    worker.answered(*worker.take(1))
    rounds = []
    for _ in range(4):
        leases = worker.take(64)
        rounds.append(len(leases))
        worker.answered(*leases)
    assert rounds[0] == 8, "half of the 16 that were in flight"
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(rounds))
    assert rounds[-1] >= rounds[0] + 2


def test_each_further_refusal_halves_it_again_down_to_one(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(200)
    in_force = []
    for _ in range(5):
        leases = worker.take(16)
        worker.refused(leases[0])
        worker.answered(*leases[1:])
        in_force.append(lanes.gate().limit)
        after_the_gate(lanes)
        worker.answered(*worker.take(1))
    assert in_force == [8, 4, 1, 1, 1], "the third time only the probe had passed: one at a time"


def test_a_probes_refusal_says_nothing_about_how_many(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(50)
    leases = worker.take(16)
    worker.refused(leases[0])
    for _ in range(3):
        after_the_gate(lanes)
        worker.refused(*worker.take(1))
    assert lanes.gate().limit == 8


def test_late_answers_do_not_hold_up_the_probe(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(50)
    leases = worker.take(16)
    worker.refused(leases[0])
    after_the_gate(lanes)
    assert lanes.gate().in_flight == 15
    assert len(worker.take(9)) == 1


def test_the_ceiling_is_shared_by_all_workers_of_an_account(lanes: Lanes) -> None:
    one, other = lanes.worker("w1", ceiling=3), lanes.worker("w2", ceiling=3)
    lanes.submit(20)
    leases = one.take(2)
    assert len(other.take(9)) == 1
    assert one.take(9) == []
    one.answered(leases[0])
    assert len(other.take(9)) == 1
    stranger = lanes.worker("w3", ceiling=3, token="another")
    assert len(stranger.take(9)) == 3


def test_concurrency_never_grows_past_the_ceiling(lanes: Lanes) -> None:
    worker = lanes.worker(ceiling=4)
    lanes.submit(100)
    throttled(lanes, worker)
    for _ in range(10):
        leases = worker.take(64)
        assert len(leases) <= 4
        worker.answered(*leases)
    assert len(leases) == 4
    assert lanes.gate().limit is None, "nothing below the ceiling is in force any more"


@pytest.mark.parametrize("verdict", ["throttled", "unused", "ok", "gone"])
def test_near_the_count_that_was_refused_before_one_at_a_time_goes_on(
    lanes: Lanes, worker: Worker, verdict: str
) -> None:
    lanes.submit(300)
    leases = worker.take(40)
    worker.answered(*leases[:30])
    worker.refused(leases[30], hint_s=5)
    worker.settle(leases[31:], verdict=verdict, to="front", why="throttled", hint_s=5)
    after_the_gate(lanes)
    granted = 0
    while granted < 30:
        leases = worker.take(64)
        granted += len(leases)
        worker.answered(*leases)
    assert granted == 30, "the edge is not overrun"
    key = f"chartq:gate:{worker.account}:{LANE}"
    before = lanes.redis.hgetall(key)
    assert lanes.gate().limit == 1
    assert lanes.redis.hgetall(key) == before, "to look changes nothing"
    assert len(worker.take(64)) == 1
    worker.refused(*worker.held.values(), hint_s=5)
    after_the_gate(lanes)
    assert len(worker.take(64)) == 1


@pytest.mark.parametrize("meanwhile", ["nothing", "the probe is refused too", "permits are not used"])
def test_it_nears_that_count_one_at_a_time_after_every_refusal_anew(
    lanes: Lanes, worker: Worker, meanwhile: str
) -> None:
    lanes.submit(300)
    leases = worker.take(40)
    worker.answered(*leases[:30])
    worker.refused(*leases[30:], hint_s=5)
    for _ in range(3):
        after_the_gate(lanes)
        if meanwhile == "the probe is refused too":
            worker.refused(*worker.take(1), hint_s=5)
            after_the_gate(lanes)
        granted = 0
        while granted < 30:
            if meanwhile == "permits are not used":
                worker.unused(*worker.take(1))
            leases = worker.take(64)
            granted += len(leases)
            worker.answered(*leases)
        assert granted == 30
        [lease] = worker.take(64)
        worker.refused(lease, hint_s=5)


def test_where_that_count_is_passed_it_grows_again(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(300)
    leases = worker.take(20)
    worker.answered(*leases[:10])
    worker.refused(*leases[10:], hint_s=5)
    after_the_gate(lanes)
    rounds: list[int] = []
    while sum(rounds) < 30:
        leases = worker.take(64)
        rounds.append(len(leases))
        worker.answered(*leases)
    past = rounds[rounds.index(1, 1) :]
    assert past == sorted(past), "one at a time at the edge, then ever more"
    assert past[-1] > 2


@pytest.mark.parametrize(
    ("limits", "verdict", "why", "at_once"),
    [
        ("", "throttled", "throttled", 1),
        ("30/m", "throttled", "throttled", 5),  # the budget says when to go on
        ("30/m", "throttled", "loading", 1),
        ("30/m", "unreachable", "unreachable", 1),
    ],
)
def test_one_probe_goes_first_where_no_budget_says_that_calls_will_pass(
    lanes: Lanes, limits: str, verdict: Any, why: str, at_once: int
) -> None:
    worker = lanes.worker(limits=limits)
    lanes.submit(20)
    worker.settle(worker.take(10)[:1], verdict=verdict, to="front", why=why)
    worker.answered(*worker.held.values())
    after_the_gate(lanes)
    assert len(worker.take(9)) == at_once


# Generations --------------------------------------------------------------------------------------------


def test_eighteen_simultaneous_refusals_close_the_gate_once(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    leases = worker.take(18)
    worker.refused(*leases)
    assert closed_for_s(lanes) == 1
    after_the_gate(lanes)
    worker.refused(*worker.take(1))
    assert closed_for_s(lanes) == 2, "the second closing, not the nineteenth"


@pytest.mark.parametrize("hint_s", [1, 600])
def test_a_late_refusal_neither_shortens_nor_lengthens_nor_closes(lanes: Lanes, worker: Worker, hint_s: float) -> None:
    lanes.submit(40)
    first, second, third = worker.take(3)
    worker.refused(first, hint_s=10)
    worker.refused(second, hint_s=hint_s)
    assert closed_for_s(lanes) == 10
    after_the_gate(lanes)
    worker.answered(*worker.take(1))
    worker.refused(third, hint_s=hint_s)
    assert closed_for_s(lanes) == 0


def test_a_late_answer_does_not_open(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    first, second = worker.take(2)
    worker.refused(first, hint_s=10)
    worker.answered(second)
    assert closed_for_s(lanes) == 10
    after_the_gate(lanes)
    assert len(worker.take(9)) == 1, "and the probe still goes first"


def test_an_outage_seen_by_late_calls_does_not_lengthen(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    first, *others = worker.take(8)
    worker.refused(first, hint_s=10)
    for lease in others:
        worker.failed(lease)
    assert closed_for_s(lanes) == 10


def test_an_answer_that_is_told_twice_counts_once(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    [lease] = worker.take(1)
    worker.refused(lease, hint_s=10)
    lanes.clock.pass_s(10)
    worker.refused(lease, hint_s=10)
    assert closed_for_s(lanes) == 0


# One job that is always refused -------------------------------------------------------------------------


def refuse_as_probe(lanes: Lanes, worker: Worker) -> str:
    after_the_gate(lanes)
    [lease] = worker.take(1)
    worker.refused(lease)
    return lease.job


def test_a_job_refused_three_times_as_the_probe_goes_behind_the_others_and_another_probes(
    lanes: Lanes, worker: Worker
) -> None:
    bad, *good = lanes.submit(5)
    worker.refused(*worker.take(1))
    assert [refuse_as_probe(lanes, worker) for _ in range(3)] == [bad] * 3
    after_the_gate(lanes)
    assert jobs_of(worker.take(1)) == good[:1]


def suspected(lanes: Lanes, worker: Worker) -> tuple[Lease, list[str]]:
    """A job that is always refused, after all others have passed. The gate has been shut for 15 s at most so far."""
    bad, *good = lanes.submit(5)
    for _ in range(4):
        refuse_as_probe(lanes, worker)
    after_the_gate(lanes)
    while jobs_of(leases := worker.take(1)) != [bad]:
        assert leases[0].job in good
        assert leases[0].suspect == 0
        worker.answered(*leases)
    return leases[0], good


def counted(worker: Worker, lease: Lease, *, hint_s: float | None = None) -> None:
    """A refusal that counts as an attempt."""
    worker.settle([lease], verdict="suspect", to="delay", delay_s=2, why="throttled", hint_s=hint_s)


def test_if_others_pass_it_is_suspect_and_the_next_one_finds_out(lanes: Lanes, worker: Worker) -> None:
    bad, _ = suspected(lanes, worker)
    assert bad.suspect == 1
    counted(worker, bad, hint_s=3600)
    assert closed_for_s(lanes) == 1, "whatever it was told to wait"
    lanes.submit(1, "later")
    after_the_gate(lanes)
    [other] = worker.take(1)
    assert (other.probe, other.suspect) == (1, 0)
    worker.answered(other)
    lanes.clock.pass_s(2)
    assert [(lease.job, lease.suspect) for lease in worker.take(1)] == [(bad.job, 1)]


def test_alone_it_is_suspect_once_the_gate_was_shut_for_twice_as_long_as_ever(lanes: Lanes, worker: Worker) -> None:
    lease, _ = suspected(lanes, worker)
    shut_s = lanes.clock.now_ms / 1000
    counted(worker, lease)
    lanes.clock.pass_s(2)
    [lease] = worker.take(1)
    while not lease.suspect:
        worker.refused(lease)
        after_the_gate(lanes)
        [lease] = worker.take(1)
    assert 30 < lanes.clock.now_ms / 1000 - shut_s < 90
    counted(worker, lease)
    assert closed_for_s(lanes) == 0, "it has nobody to protect"


def test_a_refusal_that_came_late_is_compared_with_those_that_pass_after_it(lanes: Lanes, worker: Worker) -> None:
    bad, _ = suspected(lanes, worker)
    lanes.submit(1, "later")
    worker.refused(*worker.take(1))
    after_the_gate(lanes)
    worker.answered(*worker.take(1))
    counted(worker, bad)
    lanes.clock.pass_s(2)
    assert [(lease.job, lease.suspect) for lease in worker.take(1)] == [(bad.job, 0)]


def longest_shut_s(lanes: Lanes, worker: Worker) -> float:
    """How long the provider took at most to let somebody pass again, as the gate has it."""
    return int(lanes.redis.hget(f"chartq:gate:{worker.account}:{LANE}", "longest_shut_ms") or 0) / 1000


def test_how_long_a_limit_lasts_is_told_by_its_refusals_alone(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    throttled(lanes, worker)
    worker.unreached(*worker.take(1))  # it went away: when it would have let somebody pass, nobody knows
    lanes.clock.pass_s(600)
    worker.answered(*worker.take(1))
    assert longest_shut_s(lanes, worker) == 0
    for refusals in (1, 2, 1):
        lanes.clock.pass_s(300)
        for _ in range(refusals):
            throttled(lanes, worker)
        worker.answered(*worker.take(1))
    assert longest_shut_s(lanes, worker) == 3, "1 s and 2 s, and none of the time between"
    throttled(lanes, worker)
    lanes.clock.pass_s(24 * 3600)
    throttled(lanes, worker)
    worker.answered(*worker.take(1))
    assert longest_shut_s(lanes, worker) == 3, "nobody was there to see the end of yesterday's"


def test_if_all_are_refused_nobody_is_suspect(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(2)
    suspects = set()
    for _ in range(12):
        after_the_gate(lanes)
        [lease] = worker.take(1)
        suspects.add(lease.suspect)
        worker.refused(lease)
    assert suspects == {0}


@pytest.mark.parametrize("limits", ["", "1000/s"])
def test_one_job_that_is_always_refused_does_not_keep_fifty_others_from_ending(lanes: Lanes, limits: str) -> None:
    worker = lanes.worker(limits=limits)
    bad, *good = lanes.submit(51)
    answered: list[str] = []
    counted, refusals = 0, 0
    for _ in range(400):
        leases = worker.take(8)
        for lease in leases:
            if lease.job != bad:
                answered.append(lease.job)
                worker.answered(lease)
            elif lease.suspect:
                counted += 1
                worker.settle([lease], verdict="suspect", to="delay", delay_s=2)
            else:
                refusals += 1
                worker.refused(lease)
        lanes.clock.pass_s(max(closed_for_s(lanes), 0.05))
        if counted >= 3 and len(answered) == 50:
            break
    assert sorted(answered) == sorted(good)
    assert counted >= 3, "its own attempts are used up in the end"
    assert refusals <= 6


# Outages ------------------------------------------------------------------------------------------------


def test_five_failures_in_a_row_of_three_jobs_close_the_gate_and_give_the_attempts_back(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(20)
    leases = worker.take(5)
    given_back = [worker.failed(lease, delay_s=60) for lease in leases]
    assert given_back == [{}, {}, {}, {}, {lease.job: 1 for lease in leases}]
    assert (lanes.gate().why, closed_for_s(lanes)) == ("outage", 1)
    assert worker.take(9) == []


def test_what_failed_in_an_outage_comes_back_behind_the_others_once(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    first, *others = worker.take(5)
    for lease in (first, *others):
        worker.failed(lease, delay_s=60)
    after_the_gate(lanes)
    worker.answered(*worker.take(1))
    lanes.clock.pass_s(60)
    taken = worker.take(20)
    assert {*jobs_of(taken)[-4:]} <= {first.job, *jobs_of(others)}, "what never failed went first"
    [again] = [lease for lease in taken if lease.job == first.job]
    lanes.submit(5)
    assert worker.failed(again, delay_s=5) == {}
    lanes.clock.pass_s(5)
    assert jobs_of(worker.take(1)) == [first.job], "a failure like any other: ahead of what never started"


def test_in_an_outage_one_probe_at_a_time_goes_and_no_attempt_is_spent(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    leases = worker.take(16)
    for lease in leases:
        worker.failed(lease, delay_s=60)
    waits_s = [closed_for_s(lanes)]
    for _ in range(3):
        after_the_gate(lanes)
        [probe] = worker.take(9)
        assert worker.failed(probe) == {probe.job: 1}
        waits_s.append(closed_for_s(lanes))
    assert waits_s == [1, 2, 4, 8], "16 failures at once close it once"
    after_the_gate(lanes)
    worker.answered(*worker.take(9))
    [lease, *_] = worker.take(9)
    assert worker.failed(lease) == {}, "after a success, a failure is a failure again"
    assert closed_for_s(lanes) == 0


def test_an_outage_is_probed_by_a_job_that_was_not_asked_in_it_whatever_its_priority(
    lanes: Lanes, worker: Worker
) -> None:
    """A few that are never answered would be the probe for ever, before thousands of others."""
    urgent = lanes.submit(5, "urgent", priority="high")
    lanes.submit(3, "b2")
    for lease in worker.take(5):
        worker.failed(lease)
    probes = []
    for _ in range(3):
        after_the_gate(lanes)
        [probe] = worker.take(9)
        probes.append(probe.job)
        worker.failed(probe)
    assert sorted(probes) == ["b2-0", "b2-1", "b2-2"]
    after_the_gate(lanes)
    assert worker.take(1)[0].job in urgent


def test_an_outage_gives_back_what_was_spent_since_the_last_success_and_no_more(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(10)
    before = worker.take(1)[0]
    worker.failed(before)
    lanes.clock.pass_s(0.1)
    worker.answered(*worker.take(2)[1:])
    held = next(iter(worker.held.values()))
    assert held.job == before.job
    leases = [held, *worker.take(4)]
    for lease in leases:
        assert worker.failed(lease) == {}
    again = worker.take(1)
    assert worker.failed(again[0]) == {**dict.fromkeys(jobs_of(leases), 1), again[0].job: 2}


def test_answers_that_were_on_their_way_when_the_server_went_make_no_failure_count(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(20)
    on_their_way = worker.take(2)
    lanes.clock.pass_s(0.1)
    leases = worker.take(7)
    for answered, failed in zip(on_their_way, leases[:2], strict=True):
        assert worker.failed(failed) == {}
        worker.answered(answered)
    for lease in leases[2:-1]:
        assert worker.failed(lease) == {}
    assert worker.failed(leases[-1]) == dict.fromkeys(jobs_of(leases), 1)


def test_what_an_older_version_noted_of_failures_harms_nobody(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    lanes.redis.hset(f"chartq:streak:{worker.account}:{LANE}", "some-job", 2)
    answered, *leases = worker.take(6)
    worker.answered(answered)
    given_back = [worker.failed(lease, delay_s=60) for lease in leases]
    assert given_back == [{}, {}, {}, {}, dict.fromkeys(jobs_of(leases), 1)]


def test_a_lone_bad_job_is_no_outage(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(2)
    for _ in range(10):
        for lease in worker.take(2):
            assert worker.failed(lease) == {}
    assert closed_for_s(lanes) == 0


def test_calls_that_fail_while_one_that_began_later_is_answered_are_no_outage(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    leases = worker.take(8)
    lanes.clock.pass_s(0.1)
    worker.answered(*worker.take(1))
    assert [worker.failed(lease, delay_s=60) for lease in leases] == [{}] * 8
    assert closed_for_s(lanes) == 0


def test_what_failed_and_is_gone_leaves_nothing_behind_when_an_outage_gives_back(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    canceled, *others = worker.take(5)
    worker.settle([canceled], verdict="transient", to="drop")
    for lease in others:
        given_back = worker.failed(lease)
    assert given_back == dict.fromkeys(jobs_of([canceled, *others]), 1)
    assert not lanes.redis.exists(f"rq:job:{canceled.job}")


def in_an_outage(lanes: Lanes, worker: Worker, *, at_first: int = 5) -> None:
    """So many have failed, and every probe since, for just under a minute."""
    for lease in worker.take(at_first):
        worker.failed(lease)
    began_s = lanes.clock.now()
    while lanes.clock.now() - began_s + closed_for_s(lanes) < 60:
        after_the_gate(lanes)
        [probe] = worker.take(64)
        worker.failed(probe)


@pytest.mark.parametrize(("charts", "asked", "at_once"), [(32, 5, 32), (33, 5, 1), (33, 33, 33)])
def test_after_a_minute_of_an_outage_a_few_that_are_left_or_were_all_asked_go_at_once(
    lanes: Lanes, worker: Worker, charts: int, asked: int, at_once: int
) -> None:
    lanes.submit(charts)
    in_an_outage(lanes, worker, at_first=asked)
    after_the_gate(lanes)
    assert len(worker.take(64)) == at_once


def test_no_attempt_counts_in_an_outage_while_a_paused_batch_was_not_asked(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(6)
    lanes.submit(40, "b2")
    paused = {"batch b2": Pause(by="ann", since=0)}
    lanes.queues.set_controls(replace(NO_CONTROLS, version=1, pauses=paused))
    in_an_outage(lanes, worker)
    for _ in range(3):
        after_the_gate(lanes)
        [probe] = worker.take(64)
        assert worker.failed(probe) == {probe.job: 1}


def test_a_job_that_failed_where_others_passed_does_not_lengthen_an_outage(lanes: Lanes, worker: Worker) -> None:
    [bad] = lanes.submit(1, "bad", priority="high")
    lanes.submit(40)
    assert worker.failed(worker.take(1)[0]) == {}
    lanes.clock.pass_s(0.1)
    again, passes, *others = worker.take(7)
    worker.answered(passes)
    for lease in others:
        worker.failed(lease)
    worker.unused(again)
    after_the_gate(lanes)
    [probe] = worker.take(9)
    assert (probe.job, probe.probe) == (bad, 1)
    worker.failed(probe)
    assert closed_for_s(lanes) == 0
    assert [(lease.job == bad, lease.probe) for lease in worker.take(9)] == [(False, 1)], "another one finds out"


@pytest.mark.parametrize(("to", "outage"), [("finished", True), ("failed", False)])
def test_once_a_job_that_failed_is_answered_it_was_the_server_and_all_begin_anew(
    lanes: Lanes, worker: Worker, to: Any, outage: bool
) -> None:
    lanes.submit(20)
    for lease in worker.take(4):
        worker.failed(lease, delay_s=1)
    lanes.clock.pass_s(0.5)
    worker.answered(*worker.take(1))
    lanes.clock.pass_s(0.5)
    first, *others = worker.take(6)
    assert sorted(jobs_of([first, *others]))[:4] == ["b1-0", "b1-1", "b1-2", "b1-3"]
    worker.settle([first], verdict="ok", to=to)
    for lease in others:
        given_back = worker.failed(lease)
    assert given_back == (dict.fromkeys(jobs_of(others), 1) if outage else {})


def test_in_an_outage_attempts_count_again_once_all_that_are_left_were_asked_in_it(
    lanes: Lanes, worker: Worker
) -> None:
    job_ids = lanes.submit(20)
    in_an_outage(lanes, worker)
    asked = {text(job) for job in lanes.redis.hkeys(f"chartq:failing:{worker.account}:{LANE}")}
    after_the_gate(lanes)
    given_back = {lease.job: worker.failed(lease) for lease in worker.take(64)}
    assert given_back == {job: {} if job in asked else {job: 1} for job in job_ids}


def test_an_outage_is_probed_from_here_and_there(lanes: Lanes, worker: Worker) -> None:
    """Charts that can't be asked about lie side by side: one after the other they would be the probe for long."""
    job_ids = lanes.submit(100)
    for lease in worker.take(5):
        worker.failed(lease, delay_s=900)
    probed = []
    for _ in range(4):
        after_the_gate(lanes)
        [probe] = worker.take(9)
        probed.append(job_ids.index(probe.job))
        worker.failed(probe)
    assert len({place // 25 for place in probed}) >= 3, probed


def test_failures_with_a_success_between_them_are_no_outage(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    for _ in range(4):
        leases = worker.take(5)
        for lease in leases[:4]:
            assert worker.failed(lease, delay_s=900) == {}
        worker.answered(leases[4])
    assert closed_for_s(lanes) == 0


def test_an_unreachable_server_closes_the_gate_at_once_and_gives_nothing_to_give_back(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(20)
    leases = worker.take(8)
    polled = [worker.unreached(lease) for lease in leases]
    assert [dict(one.give_back) for one in polled] == [{}] * 8
    assert (lanes.gate().why, closed_for_s(lanes)) == ("unreachable", 1)
    assert lanes.queued() == 20
    after_the_gate(lanes)
    assert len(worker.take(9)) == 1


@pytest.mark.parametrize("cut_off", [2, 3, 4])
def test_what_was_cut_off_as_the_server_went_is_given_back_once_it_refuses_connections(
    lanes: Lanes, worker: Worker, cut_off: int
) -> None:
    lanes.submit(20)
    leases = worker.take(cut_off)
    refused = worker.take(2)
    lanes.clock.pass_s(0.1)
    worker.answered(*worker.take(1))  # who began later was still answered: failures look like these jobs' own
    assert [worker.failed(lease) for lease in leases] == [{}] * cut_off
    given_back = [worker.unreached(lease).give_back for lease in refused]
    assert given_back == [dict.fromkeys(jobs_of(leases), 1) if cut_off >= 3 else {}, {}]


def test_a_server_that_is_away_is_asked_once_a_minute_for_a_while_then_ever_more_rarely(
    lanes: Lanes, worker: Worker
) -> None:
    lanes.submit(2)
    waits_s = []
    for _ in range(22):
        worker.unreached(*worker.take(1))
        waits_s.append(closed_for_s(lanes))
        after_the_gate(lanes)
    assert waits_s == [1, 2, 4, 8, 16, 32, *[60] * 10, 120, 240, 480, *[900] * 3]


def test_an_outage_of_a_day_ends_in_a_hold_that_says_where_to_look(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(2)
    started_ms = lanes.clock.now_ms
    while not lanes.gate().held:
        assert lanes.clock.now_ms - started_ms < 25 * 3600 * 1000
        worker.unreached(*worker.take(1))
        after_the_gate(lanes)
    assert lanes.clock.now_ms - started_ms >= 24 * 3600 * 1000
    assert lanes.gate().reason == "unreachable"
    assert "HF_BASE_URL" in str(lanes.gate().message)
    lanes.gates.resume([lanes.gate()])
    worker.unreached(*worker.take(1))
    assert not lanes.gate().held, "somebody has looked: another day begins"
    after_the_gate(lanes)
    worker.answered(*worker.take(1))


def test_an_outage_of_another_day_says_nothing_about_today(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(2)
    for _ in range(5):
        worker.unreached(*worker.take(1))
        after_the_gate(lanes)
    lanes.clock.pass_s(3 * 24 * 3600)
    worker.unreached(*worker.take(1))
    assert not lanes.gate().held
    assert closed_for_s(lanes) == 1, "it begins anew"


def test_outages_with_answers_between_them_are_no_outage_of_a_day(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(9)
    for _ in range(3):
        worker.unreached(*worker.take(1))
        assert not lanes.gate().held
        after_the_gate(lanes)
        worker.answered(*worker.take(1))
        lanes.clock.pass_s(13 * 3600)


@pytest.mark.parametrize("yesterday", ["an outage", "four failures and a refusal"])
def test_trouble_of_another_day_makes_no_outage_of_todays_failures(
    lanes: Lanes, worker: Worker, yesterday: str
) -> None:
    lanes.submit(30)
    leases = worker.take(5)
    for lease in leases[:4]:
        worker.failed(lease, delay_s=7 * 24 * 3600)
    if yesterday == "an outage":
        worker.failed(leases[4])
        assert lanes.gate().why == "outage"
    else:
        worker.refused(leases[4])
    lanes.clock.pass_s(24 * 3600)
    today = {}
    for number in range(5):
        [lease] = worker.take(1)
        today[lease.job] = 1
        assert worker.failed(lease, delay_s=7 * 24 * 3600) == (today if number == 4 else {})
    assert closed_for_s(lanes) == 1


# Holds --------------------------------------------------------------------------------------------------


def two_lanes(lanes: Lanes) -> None:
    lanes.submit(40)
    lanes.submit(40, "b2", lane=OTHER_LANE)


def lanes_of(leases: list[Lease]) -> set[str]:
    return {lease.lane for lease in leases}


@pytest.mark.parametrize("reason", ["token", "permission", "credits"])
def test_what_fails_for_the_account_holds_all_its_lanes_after_the_first_answer(lanes: Lanes, reason: str) -> None:
    worker, colleague = lanes.worker("w1"), lanes.worker("w2")
    two_lanes(lanes)
    worker.held_up(*worker.take(1), reason=reason)
    assert worker.take(9) + colleague.take(9) == []
    lanes.clock.pass_s(7 * 24 * 3600)
    worker.heartbeat()
    assert worker.take(9) == []
    gate = lanes.gate()
    assert (gate.held, gate.reason, gate.message) == (True, reason, "Add credits")


def test_what_fails_for_the_model_holds_its_lane_only(lanes: Lanes, worker: Worker) -> None:
    two_lanes(lanes)
    leases = worker.take(2)
    worker.held_up(*(lease for lease in leases if lease.lane == LANE), scope="lane", reason="model")
    assert lanes_of(worker.take(9)) == {OTHER_LANE}
    assert lanes.gate().held
    assert not lanes.gate(OTHER_LANE).held


def test_another_account_serves_the_lane_meanwhile(lanes: Lanes) -> None:
    broke, rich = lanes.worker("w1", token="broke"), lanes.worker("w2", token="rich")
    two_lanes(lanes)
    broke.held_up(*broke.take(1))
    assert broke.take(9) == []
    assert len(rich.take(9)) == 9
    assert sorted(gate.held for gate in lanes.gates.of_lane(LANE)) == [False, True]


def test_an_account_is_who_pays_where_and_its_name_is_too_short_to_hold_the_token() -> None:
    token = "hf_secret_token"
    whose: dict[str, Any] = {"base_url": "https://a.example/v1", "token": token, "bill_to": None}
    others: list[dict[str, Any]] = [
        {"base_url": "https://b.example/v1"},
        {"token": "hf_another"},
        {"token": None},
        {"bill_to": "team"},
    ]
    names = [account_of(**{**whose, **other}) for other in ({}, *others)]
    assert len(set(names)) == len(names)
    assert account_of(**whose) == names[0]
    assert {len(name) for name in names} == {12}


def test_a_closed_gate_of_one_account_does_not_close_anothers(lanes: Lanes) -> None:
    slow, fast = lanes.worker("w1", token="slow"), lanes.worker("w2", token="fast")
    lanes.submit(40)
    slow.refused(*slow.take(1), hint_s=60)
    assert slow.take(9) == []
    assert len(fast.take(9)) == 9


def test_calls_in_flight_may_still_end_while_the_lane_is_on_hold(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    first, second, third = worker.take(3)
    worker.held_up(first)
    worker.answered(second)
    worker.failed(third)
    assert lanes.gate().held
    assert lanes.redis.hget(f"rq:job:{second.job}", "status") == b"finished"


def test_the_first_hold_counts_and_its_companions_change_nothing(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    first, *others = worker.take(8)
    worker.held_up(first, reason="credits")
    since = lanes.gate().since_s
    assert since == lanes.clock.now()
    lanes.clock.pass_s(3)
    worker.held_up(*others, reason="token")
    assert (lanes.gate().reason, lanes.gate().since_s) == ("credits", since)
    assert lanes.queued() == 20, "nothing failed, all went back"


def test_resume_opens_with_one_probe_first(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    worker.held_up(*worker.take(1), scope="lane", reason="model")
    assert lanes.gates.resume(lanes.gates.all()) == 1
    [probe] = worker.take(9)
    lanes.clock.pass_s(5)
    assert worker.take(9) == []
    worker.answered(probe)
    assert len(worker.take(9)) == 9


def test_resume_of_an_account_sends_one_probe_first_in_each_of_its_lanes(lanes: Lanes, worker: Worker) -> None:
    two_lanes(lanes)
    worker.held_up(*worker.take(2)[:1])
    worker.answered(*worker.held.values())
    assert lanes.gates.resume([gate for gate in lanes.gates.all() if gate.lane == LANE]) == 1
    assert len(worker.take(9)) == 1, "the account's first call goes alone"
    lanes.clock.pass_s(2)
    assert len(worker.take(9)) == 1, "the other lane's probe, though only one lane was asked for"
    lanes.clock.pass_s(2)
    assert worker.take(9) == []


def test_resume_counts_every_lane_that_was_on_hold(lanes: Lanes, worker: Worker) -> None:
    two_lanes(lanes)
    worker.held_up(*worker.take(2)[:1])
    assert lanes.gates.resume(lanes.gates.all()) == 2
    assert lanes.gates.resume(lanes.gates.all()) == 0


def test_after_resume_five_more_find_out_whether_every_job_fails_alike(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)

    def fail(kind: str = "HFRequestError 400: no") -> None:
        worker.settle(worker.take(1), verdict="ok", to="failed", kind=kind)

    fail()
    fail("HFRequestError 422: another")
    for _ in range(6):
        fail()
    assert not lanes.gate().held, "they fail with this and that"
    worker.held_up(*worker.take(1))
    for _ in range(3):
        assert lanes.gates.resume(lanes.gates.all()) == 1
        for _ in range(5):
            assert not lanes.gate().held
            fail()
        assert lanes.gate().reason == "every_job"


@pytest.mark.parametrize("ends", ["answered", "another failure"])
def test_once_the_first_job_fails_four_more_go_until_one_is_answered_or_fails_otherwise(
    lanes: Lanes, worker: Worker, ends: str
) -> None:
    lanes.submit(40)
    worker.settle(worker.take(1), verdict="ok", to="failed", kind="HFRequestError 400: no")
    first, *others = worker.take(16)
    assert len(others) == 3
    worker.settle(others, verdict="ok", to="failed", kind="HFRequestError 400: no")
    assert worker.take(16) == [], "the fifth is on its way"
    if ends == "answered":
        worker.answered(first)
    else:
        worker.settle([first], verdict="ok", to="failed", kind="HFRequestError 422: another")
    assert len(worker.take(16)) == 16
    assert not lanes.gate().held


def test_one_job_that_fails_alike_again_and_again_is_not_every_job(lanes: Lanes, worker: Worker) -> None:
    job_ids = lanes.submit(1)
    for _ in range(8):
        worker.settle(worker.take(1), verdict="ok", to="failed", kind="HFRequestError 400: no")
        lanes.queues.enqueue(job_ids, lane=LANE, batch_id="b1")
    assert not lanes.gate().held


def test_calls_that_fail_alike_after_a_hold_leave_its_reason(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(20)
    first, *others = worker.take(8)
    worker.held_up(first, scope="lane", reason="model")
    worker.settle(others, verdict="ok", to="failed", kind="HFRequestError 400: no")
    assert lanes.gate().reason == "model"


def test_a_late_refusal_of_credits_after_resume_does_not_hold_again(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    first, late = worker.take(2)
    worker.held_up(first)
    lanes.gates.resume(lanes.gates.all())
    worker.held_up(late)
    assert not lanes.gate().held
    worker.held_up(*worker.take(1))
    assert lanes.gate().held, "but the probe's own does"


def test_resume_leaves_gates_alone_that_are_only_closed(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(40)
    worker.refused(*worker.take(1), hint_s=60)
    assert lanes.gates.resume(lanes.gates.all()) == 0
    assert closed_for_s(lanes) == 60


# A new account ------------------------------------------------------------------------------------------


def test_a_new_accounts_first_call_goes_alone_so_that_a_wrong_token_costs_one_call(lanes: Lanes) -> None:
    one, other = lanes.worker("w1", proven=False), lanes.worker("w2", proven=False)
    two_lanes(lanes)
    [first] = one.take(16)
    assert other.take(16) == []
    one.held_up(first, reason="token")
    lanes.clock.pass_s(2)
    assert one.take(16) + other.take(16) == []


@pytest.mark.parametrize("verdict", ["ok", "throttled", "transient"])
def test_any_answer_that_accepts_the_token_lets_the_others_go(lanes: Lanes, verdict: str) -> None:
    worker = lanes.worker(proven=False)
    two_lanes(lanes)
    leases = worker.take(16)
    worker.settle(leases, verdict=verdict, to="front", why="throttled")
    assert len(worker.take(16)) > 1


@pytest.mark.parametrize("verdict", ["unreachable", "gone"])
def test_what_tells_nothing_of_the_token_does_not(lanes: Lanes, verdict: str) -> None:
    worker = lanes.worker(proven=False)
    two_lanes(lanes)
    worker.settle(worker.take(16), verdict=verdict, to="front", why=verdict)
    assert worker.take(16) == []


def test_the_first_call_goes_alone_for_a_second_at_most(lanes: Lanes) -> None:
    worker = lanes.worker(proven=False)
    lanes.submit(40)
    worker.take(16)
    lanes.clock.pass_s(0.999)
    assert worker.take(16) == []
    lanes.clock.pass_s(0.001)
    assert len(worker.take(16)) == 16


def test_a_first_permit_that_was_not_used_leaves_the_first_call_to_the_next(lanes: Lanes) -> None:
    worker = lanes.worker(proven=False)
    lanes.submit(40)
    worker.unused(*worker.take(16))
    assert len(worker.take(16)) == 1
