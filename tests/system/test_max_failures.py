"""`--max-failures`: too many failures stop one batch, in the queue as well, and nothing else. Real workers."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from support.faults import by_prompt
from support.lanes import Clock, running_redis
from support.producer import producer_in
from support.stack import Stack, draw_charts, eventually
from support.stores import id_of, start, submit

from jobs.batches.reconcile import drop_held, put_back_all
from jobs.lanes import LaneQueues
from jobs.lanes.scripts import text
from jobs.ledger import Failed, Ledger
from worker.rehearsal import Behaviour, Rehearsal

MODEL = "org/model"
BEHAVIOUR = Behaviour(latency_s=0.05, fault_for=by_prompt({"bad": 422}))
ENVIRONMENT = {"VISION_MODEL": MODEL}
LANE = f"chat:{MODEL}"


# The queue, without workers ----------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis() as running:
        yield running


def fail(ledger: Ledger, chart: str, *, now: float) -> None:
    start(ledger, chart)
    ledger.record([Failed(job_id=id_of(chart), execution_id="e", error_type="ImageError", message="damaged")], now)


def queued(redis: Redis) -> dict[str, set[str]]:
    """What stands on each queue: the batch's id -> the jobs'."""
    return {text(key).rpartition("@")[2]: set(map(text, redis.lrange(key, 0, -1))) for key in redis.keys("rq:queue:*")}


def test_a_held_batchs_queue_is_emptied_but_for_what_others_want(ledger: Ledger, redis: Redis) -> None:
    queues = LaneQueues(redis)
    held = submit(ledger, "abcd", now=1, max_failures="1")
    put_back_all(ledger, queues)
    other = submit(ledger, "de", now=2)
    put_back_all(ledger, queues)
    assert queued(redis) == {held.batch_id: {id_of(chart) for chart in "abcd"}, other.batch_id: {id_of("e")}}
    fail(ledger, "a", now=3)
    for _ in range(2):  # twice is as good as once
        drop_held(ledger, queues)
        assert queued(redis) == {other.batch_id: {id_of("d"), id_of("e")}}
    assert redis.exists(f"rq:job:{id_of('b')}") == 0


@pytest.mark.parametrize("flushed", [False, True])
def test_neither_the_sweep_nor_a_resume_of_others_puts_a_held_batch_back_but_its_own_does(
    ledger: Ledger, redis: Redis, flushed: bool
) -> None:
    queues = LaneQueues(redis)
    held = submit(ledger, "abc", now=1, max_failures="1")
    other = submit(ledger, "cd", now=1)
    put_back_all(ledger, queues)
    fail(ledger, "a", now=2)
    drop_held(ledger, queues)
    if flushed:
        redis.flushall()
    for batch in (None, other, held):
        put_back_all(ledger, queues, batch=batch)
        assert queued(redis) == {other.batch_id: {id_of("c"), id_of("d")}}
    ledger.resume(held)
    assert put_back_all(ledger, queues, batch=held).put_back == 1
    assert queued(redis)[held.batch_id] == {id_of("b")}


def test_a_job_in_flight_for_a_held_batch_whose_worker_died_is_given_up(ledger: Ledger, redis: Redis) -> None:
    clock = Clock()
    queues = LaneQueues(redis, clock)
    held = submit(ledger, "ab", now=1, max_failures="1")
    put_back_all(ledger, queues)
    start(ledger, "b", now=2)
    fail(ledger, "a", now=2)
    redis.flushall()
    put_back_all(ledger, queues)
    clock.pass_s(60)
    put_back_all(ledger, queues)
    assert ledger.counts(held, recent_since=0).queued == 1
    assert queued(redis) == {}
    ledger.resume(held)
    put_back_all(ledger, queues)
    assert queued(redis) == {"alone": {id_of("b")}}


def test_retry_and_resume_put_a_held_batch_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        draw_charts(user.folder / "charts", 5)
        batch_id = user.submit(user.folder / "charts", "--max-failures", "1")["batch_id"]
        jobs = [row["job_id"] for row in user.results(batch_id)]
        with user.session() as session:
            for command, job_id, expected in [("resume", jobs[0], jobs[1:]), ("retry", jobs[1], jobs)]:
                user.fail(job_id)
                drop_held(session.ledger, session.queues)
                assert queued(session.redis) == {}
                user.run(command, batch_id)
                assert queued(session.redis) == {batch_id: set(expected)}


# With workers ------------------------------------------------------------------------------------------------


def submitted(user: Stack, charts: Path, *options: str, prompt: str = "bad") -> str:
    return user.run("submit", str(charts), "-p", prompt, "-q", *options).stdout.strip()


def counts(document: dict[str, Any]) -> tuple[int, ...]:
    return tuple(document["request_counts"][state] for state in ("finished", "failed", "queued", "total"))


def test_run_stops_at_the_limit_and_goes_on_after_resume(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    command = ("run", str(charts), "-p", "bad", "--json", "--concurrency", "4", "--max-failures", "5")
    held = user.run(*command, expect=3).json()
    called = len(server.record)
    assert (held["status"], held["hold"]["reason"]) == ("on_hold", "too_many_failures")
    assert "HFRequestError" in held["hold"]["message"]
    assert 5 <= called <= 5 + 2 * 4
    assert sum(counts(held)[:3]) == counts(held)[3] == 60
    assert counts(held)[1] == called

    again = user.run(*command, expect=3).json()
    assert len(server.record) == called
    assert again["hold"] == held["hold"]
    user.wait(held["batch_id"], expect=3)

    server.behave(fault_for=None)
    bare = user.run("resume").stderr
    assert f"chartq resume {held['batch_id']}" in bare
    assert user.run(*command, expect=3).json()["status"] == "on_hold"
    assert "goes on" in user.run("resume", held["batch_id"]).stderr
    done = user.run(*command, expect=1).json()
    assert counts(done) == (60 - called, called, 0, 60)
    user.run("retry", held["batch_id"])
    assert counts(user.run(*command, expect=0).json()) == (60, 0, 0, 60)
    assert len(server.record) == 60 + called


def test_a_worker_calls_no_more_for_a_held_batch_while_others_go_on(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    bad = submitted(user, charts, "--max-failures", "3")
    shared = submitted(user, charts / "group-05")  # the same jobs, wanted here without a limit
    good = submitted(user, charts, prompt="Up?")
    user.worker("--concurrency", "4")
    user.wait(bad, expect=3)
    user.wait(good)
    user.wait(shared, expect=1)
    assert user.counts(shared).failed == 10
    with closing(user.redis()) as redis:
        eventually(lambda: not redis.exists(f"rq:queue:{LANE}@{bad}"))
        eventually(lambda: user.counts(bad).started == 0)
        calls = len(server.record)
        user.run("resume")
        time.sleep(1.0)
        assert not redis.exists(f"rq:queue:{LANE}@{bad}")
    assert len(server.record) == calls
    document = user.status(bad)
    assert document["status"] == "on_hold"
    assert sum(counts(document)[:3]) == 60
    assert counts(document)[2] >= 60 - 10 - 3 - 2 * 4

    server.behave(fault_for=None)
    user.run("retry", bad)
    user.wait(bad)
    assert user.counts(bad).finished == 60


def test_a_hold_that_never_reached_redis_is_kept_by_the_next_worker(user: Stack, server: Rehearsal) -> None:
    batch_id = submitted(user, draw_charts(user.folder / "charts", 30), "--max-failures", "1")
    with closing(Ledger.open(user.results_url)) as ledger:  # what a worker writes before it is killed
        job_id = ledger.open_jobs(0, 1)[0].job_id
        ledger.start([(job_id, "e")], time.time())
        failed = Failed(job_id=job_id, execution_id="e", error_type="ImageError", message="it is damaged")
        ledger.record([failed], time.time())
    user.worker("--concurrency", "4")
    with closing(user.redis()) as redis:
        eventually(lambda: not redis.keys(f"rq:*@{batch_id}"))
        assert redis.keys("rq:job:*") == []
    assert len(server.record) == 0
    assert user.counts(batch_id).queued == 29
    user.run("cancel", batch_id)
    assert user.status(batch_id)["status"] == "canceled"


def test_the_queue_is_emptied_even_if_nobody_may_take_from_it(user: Stack, server: Rehearsal) -> None:
    batch_id = submitted(user, draw_charts(user.folder / "charts", 30), "--max-failures", "1")
    user.worker(HF_RATE_LIMIT="1/h")
    with closing(user.redis()) as redis:
        eventually(lambda: not redis.exists(f"rq:queue:{LANE}@{batch_id}"))
    assert len(server.record) == 1
    assert user.counts(batch_id).queued == 29


def test_a_limit_that_is_no_limit_is_wrong_usage(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 1)
    wrong = user.run("submit", str(charts), "-p", "Up?", "--max-failures", "many", expect=2)
    assert "--max-failures 'many'" in wrong.stderr
    assert "5%" in wrong.stderr
