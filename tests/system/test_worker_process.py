"""`chartq worker` as a process: how it stops, how it survives, and how RQ's own tools see it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from redis import Redis
from rq.command import send_shutdown_command, send_stop_job_command
from rq.suspension import resume, suspend
from rq.worker import BaseWorker
from support.repository import ROOT
from support.stack import PATIENCE_S, Program, Stack, draw_charts, eventually, finish

from jobs.broker.embedded import embedded_redis
from jobs.ledger import Ledger
from worker.rehearsal import Rehearsal

POISON_WORKER = ROOT / "tests" / "support" / "poison_worker.py"


#: What a worker that leaves at once doesn't wait for: longer than we wait for it.
LONG_S = 600


def leaves_with_0(worker: Program) -> str:
    """Signalled just now: it leaves in order. What it said."""
    ended = finish(worker)
    assert ended.code == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


# Shutdown ------------------------------------------------------------------------------------------------


def test_a_home_may_have_any_name(user: Stack, server: Rehearsal) -> None:
    home = str(user.folder / "My  'charts' = höme\n%s")
    user.environment["CHARTQ_HOME"] = home
    done = user.run("run", str(draw_charts(user.folder / "charts", 2)), "-p", "Up?", "--json")
    assert done.json()["status"] == "completed"
    assert len(server.record) == 2


def test_sigterm_lets_running_calls_end_and_takes_no_new_ones(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=1.5)
    batch_id = user.submit(draw_charts(user.folder / "charts", 12))
    worker = user.worker("--concurrency", "4")
    eventually(lambda: len(server.record) == 4)
    worker.send_signal(signal.SIGTERM)
    leaves_with_0(worker)
    assert len(server.record) == 4
    counts = user.counts(batch_id)
    assert (counts.finished, counts.queued) == (4, 8)


def test_what_does_not_end_within_the_grace_goes_back_unspent(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=LONG_S)
    batch_id = user.submit(draw_charts(user.folder / "charts", 8))
    graceless = user.worker("--concurrency", "4", "--grace", "0")
    eventually(lambda: len(server.record) == 4)
    graceless.send_signal(signal.SIGTERM)
    assert "giving back 4 jobs" in leaves_with_0(graceless)
    rows = user.results(batch_id)
    assert [row["status"] for row in rows] == ["queued"] * 8
    assert [row["attempts"] for row in rows] == [0] * 8

    # Told twice it leaves at once, whatever the grace.
    patient = user.worker("--concurrency", "4", "--grace", str(LONG_S))
    eventually(lambda: len(server.record) == 8)
    patient.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # sooner, and it would count as the same signal
    assert patient.poll() is None
    patient.send_signal(signal.SIGTERM)
    leaves_with_0(patient)

    # What came back stands ahead of what never started.
    given_back = {call.image_sha256 for call in server.record[4:8]}
    server.behave(latency_s=0.05)
    finish(user.worker("--concurrency", "4", "--burst"))
    assert {call.image_sha256 for call in server.record[8:12]} == given_back
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * 8
    assert len(server.record) == 16


def test_jobs_in_hand_are_begun_at_once_and_go_back_when_it_leaves(user: Stack, server: Rehearsal) -> None:
    """While some are called, others wait in hand: never more calls at a time, and not one after the signal."""
    server.behave(latency_s=0.3)
    batch_id = user.submit(draw_charts(user.folder / "charts", 800))
    worker = user.worker("--concurrency", "50")
    eventually(lambda: user.counts(batch_id).started > 50, every_s=0.01)
    server.behave(latency_s=8)
    slow_since = time.time()
    eventually(lambda: sum(call.at > slow_since for call in server.record) >= 50)  # none begins for eight seconds
    made = len(server.record)
    worker.send_signal(signal.SIGTERM)
    leaves_with_0(worker)
    assert len(server.record) == made
    counts = user.counts(batch_id)
    assert (counts.finished, counts.queued) == (made, 800 - made)
    assert {row["attempts"] for row in user.results(batch_id)} == {0, 1}
    assert server.record.most_concurrent == 50


def test_behind_a_closed_gate_it_leaves_quickly(user: Stack, server: Rehearsal) -> None:
    server.behave(fault=429, hints="retry-after", hint_s=LONG_S)
    user.submit(draw_charts(user.folder / "charts", 3))
    worker = user.worker("--burst", "--grace", str(LONG_S))
    eventually(lambda: server.record.with_status(429) >= 1)
    worker.send_signal(signal.SIGINT)
    leaves_with_0(worker)


def test_burst_waits_for_what_is_delayed_and_max_jobs_counts(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 9)
    batch_id = user.submit(charts, RETRY_DELAY="0.5")
    finish(user.worker("--concurrency", "4", "--max-jobs", "3"))
    assert user.counts(batch_id).finished == len(server.record) == 3

    server.behave(first_faults=(500, 500))
    ended = finish(user.worker("--concurrency", "4", "--burst", RETRY_DELAY="1"))
    assert ended.code == 0
    assert user.counts(batch_id).finished == 9
    assert len(server.record) == 3 + 6 + 2


# RQ's view ----------------------------------------------------------------------------------------------


def test_rqs_own_tools_see_suspend_and_stop_it(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    batch_id = user.submit(draw_charts(user.folder / "charts", 60), VISION_MODEL="org/model")
    worker = user.worker("--concurrency", "2")
    with closing(user.redis()) as redis:
        eventually(lambda: bool(BaseWorker.all(connection=redis)))
        (seen,) = BaseWorker.all(connection=redis)
        assert seen.pid == worker.pid
        eventually(lambda: _states(redis) == ["busy"])
        eventually(lambda: BaseWorker.all(connection=redis)[0].queue_names() == [f"chat:org/model@{batch_id}"])

        suspend(redis)
        eventually(lambda: _states(redis) == ["suspended"])
        eventually(lambda: user.counts(batch_id).started == 0)
        so_far = len(server.record)
        time.sleep(1.2)
        assert len(server.record) == so_far < 60
        assert "rq suspend" in worker.said
        hold = user.status(batch_id)["hold"]
        assert hold["reason"] == "suspended"
        assert "rq resume" in hold["message"]
        assert [lane["state"] for lane in user.run("lanes", "--json").lines()] == ["on_hold"]
        assert "rq resume" in user.run("doctor", expect=None).stdout
        resume(redis)
        eventually(lambda: len(server.record) > so_far)

        redis.publish(f"rq:pubsub:{seen.name}", "no JSON")
        send_shutdown_command(redis, seen.name)
    assert "ignored a message" in leaves_with_0(worker)
    counts = user.counts(batch_id)
    assert counts.started == 0
    assert 0 < counts.finished == len(server.record) < 60


def test_burst_leaves_no_work_behind_that_redis_has_lost(user: Stack, server: Rehearsal) -> None:
    with embedded_redis(user.home):
        batch_id = user.submit(draw_charts(user.folder / "charts", 6))
        with closing(user.redis()) as redis:
            redis.flushall()
        user.run("worker", "--burst")
        assert user.counts(batch_id).finished == len(server.record) == 6


def test_burst_puts_back_what_a_plain_rq_worker_has_failed(user: Stack, server: Rehearsal) -> None:
    with embedded_redis(user.home):
        batch_id = user.submit(draw_charts(user.folder / "charts", 6), VISION_MODEL="org/model")
        url = f"unix://{(user.home / 'redis' / 'server.lock').read_text()}"
        rq = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, f"chat:org/model@{batch_id}"]
        subprocess.run(rq, check=True, capture_output=True, timeout=PATIENCE_S)
        with closing(user.redis()) as redis:
            assert redis.zcard(f"rq:failed:chat:org/model@{batch_id}") == 6, "it has failed them all"
        user.run("worker", "--burst")
        assert user.counts(batch_id).finished == len(server.record) == 6


def test_rqs_stop_job_cuts_a_call_in_flight_and_fails_its_job_alone(user: Stack, server: Rehearsal) -> None:
    server.behave(fault="hang")
    batch_id = user.submit(draw_charts(user.folder / "charts", 2))
    worker = user.worker("--concurrency", "2")
    eventually(lambda: len(server.record) == 2)
    stopped, other = (row["job_id"] for row in user.results(batch_id))
    with closing(user.redis()) as redis:
        send_stop_job_command(redis, stopped, serializer="json")
    eventually(lambda: user.counts(batch_id).failed == 1)
    server.behave(fault=None)
    worker.send_signal(signal.SIGKILL)
    error = user.status(stopped)["error"]
    assert (error["type"], user.status(other)["status"]) == ("StoppedError", "started")
    assert "retry" in error["message"]


def _states(redis: Redis) -> list[str]:
    return [str(worker.get_state()) for worker in BaseWorker.all(connection=redis)]


def test_answers_are_kept_and_sigterm_is_heard_while_redis_is_away(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=1.5)
    with embedded_redis(user.folder / "elsewhere") as socket:
        url = f"unix://{socket}"
        batch_id = user.submit(draw_charts(user.folder / "charts", 8), REDIS_URL=url)
        worker = user.worker("--concurrency", "4", "--grace", "6", REDIS_URL=url)
        eventually(lambda: len(server.record) >= 4)
        _kill_server(socket)
        eventually(lambda: user.counts(batch_id).finished >= 4)
        worker.send_signal(signal.SIGTERM)
        assert "left without goodbye" in leaves_with_0(worker)
    assert user.counts(batch_id).finished == len(server.record)


def _kill_server(socket: Path) -> None:
    with closing(Redis(unix_socket_path=str(socket))) as redis:
        os.kill(int(redis.info("server")["process_id"]), signal.SIGKILL)


# Surviving ----------------------------------------------------------------------------------------------


def test_killed_and_frozen_workers_lose_nothing(user: Stack, server: Rehearsal) -> None:
    """Of three workers one is killed and one is frozen; when that one wakes, its late answers do no harm."""
    server.behave(latency_s=0.8, look=False)
    batch_id = user.submit(draw_charts(user.folder / "charts", 60))
    killed, frozen, survivor = (user.worker("--concurrency", "4", MAX_RETRIES="0") for _ in range(3))
    eventually(lambda: len(server.record) >= 24)
    with user.locked_store():  # who is frozen within a transaction locks the others out
        killed.kill()
        frozen.send_signal(signal.SIGSTOP)

    user.wait(batch_id)
    calls = len(server.record)
    assert calls <= 60 + 2 * 4
    rows = user.results(batch_id)
    assert [row["status"] for row in rows] == ["finished"] * 60
    assert [row["attempts"] for row in rows] == [1] * 60

    frozen.send_signal(signal.SIGCONT)
    more = user.submit(draw_charts(user.folder / "more", 24, start=60))
    user.wait(more)
    assert user.results(batch_id) == rows
    assert len(server.record) == calls + 24
    assert frozen.poll() is None
    for worker in (frozen, survivor):
        worker.send_signal(signal.SIGTERM)
        leaves_with_0(worker)


def test_a_worker_that_stood_still_beyond_its_timeout_has_the_answers_that_came_meanwhile(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(latency_s=1.0)
    batch_id = user.submit(draw_charts(user.folder / "charts", 8))
    worker = user.worker("--concurrency", "8", VISION_TIMEOUT="3")
    eventually(lambda: len(server.record) == 8)
    worker.send_signal(signal.SIGSTOP)
    eventually(lambda: server.record.with_status(200) == 8)
    time.sleep(4)  # its calls' time is up; its lease isn't
    worker.send_signal(signal.SIGCONT)
    user.wait(batch_id)
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * 8
    assert len(server.record) == 8


def test_redis_may_be_flushed_or_killed_and_nothing_in_flight_is_asked_twice(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=1.0)
    first = user.submit(draw_charts(user.folder / "first", 10))
    worker = user.worker("--concurrency", "4")

    eventually(lambda: len(server.record) >= 6)
    with closing(user.redis()) as redis:
        redis.flushall()
    user.run("resume")
    user.wait(first)
    assert len(server.record) == 10

    # Nobody resumes: the worker itself notices and puts back what is lost.
    second = user.submit(draw_charts(user.folder / "second", 10, start=10))
    eventually(lambda: len(server.record) >= 16)
    with closing(user.redis()) as redis:
        redis.flushall()
    user.wait(second)
    assert len(server.record) == 20

    # The server dies; whoever needs it next, the worker or a command, starts it again with its data.
    third = user.submit(draw_charts(user.folder / "third", 10, start=20))
    eventually(lambda: len(server.record) >= 26)
    os.kill(int((user.home / "redis" / "redis.pid").read_text()), signal.SIGKILL)
    user.wait(third)
    assert len(server.record) == 30
    worker.send_signal(signal.SIGTERM)
    leaves_with_0(worker)
    for batch_id in (first, second, third):
        assert [row["attempts"] for row in user.results(batch_id)] == [1] * 10


def test_while_the_results_store_is_locked_answers_are_held_and_no_job_is_taken(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    batch_id = user.submit(draw_charts(user.folder / "charts", 16))
    worker = user.worker("--concurrency", "4", RESULTS_URL=f"{user.results_url}?timeout=0.5")
    eventually(lambda: len(server.record) >= 4)
    with user.locked_store():
        eventually(lambda: "waiting for the results store" in worker.said)
        asked = len(server.record)
        time.sleep(2)
        assert len(server.record) == asked
    user.wait(batch_id)
    assert len(server.record) == 16
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * 16


def test_an_image_that_kills_its_worker_takes_no_bystander_along(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.2)
    batch_id = user.submit(draw_charts(user.folder / "charts", 21), HF_TOKEN="")
    shutdown = threading.Event()
    deaths: list[int] = []

    def keep_one_running() -> None:
        while not shutdown.is_set():
            log = user.folder / f"poison-{len(deaths)}.log"
            worker = user.launch(str(POISON_WORKER), "chart-0005.png", log=log)
            while worker.poll() is None and not shutdown.is_set():
                time.sleep(0.05)
            deaths.append(worker.poll() or 0)

    restarter = threading.Thread(target=keep_one_running)
    restarter.start()
    try:
        user.wait(batch_id, expect=1)
    finally:
        shutdown.set()
        restarter.join()
    rows = {row["custom_id"].rpartition("/")[2]: row for row in user.results(batch_id)}
    poison = rows.pop("chart-0005.png")
    assert (poison["status"], poison["error"]["type"]) == ("failed", "WorkerLost")
    assert poison["attempts"] == 0
    assert [row["status"] for row in rows.values()] == ["finished"] * 20
    assert [row["attempts"] for row in rows.values()] == [1] * 20
    assert deaths.count(-signal.SIGKILL) == 4  # once among others, three times alone


def test_while_a_job_that_was_lost_with_its_worker_is_called_for_nothing_else_is(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(latency_s=2.5)
    batch_id = user.submit(draw_charts(user.folder / "charts", 9))
    lost = user.results(batch_id)[4]["job_id"]
    with closing(Ledger.open(user.results_url)) as ledger:
        ledger.start([(lost, "killed")], time.time())
        ledger.lose([(lost, "killed")], max_losses=3, now=time.time())
    shutil.rmtree(user.home / "redis")
    user.worker("--concurrency", "4")
    seen: list[int] = []

    def has_ended() -> bool:
        statuses = {row["job_id"]: row["status"] for row in user.results(batch_id)}
        if statuses[lost] == "started":
            seen.append(list(statuses.values()).count("started"))
        return bool(statuses[lost] == "finished")

    eventually(has_ended, timeout_s=50)
    assert set(seen) == {1}
    user.run("wait", batch_id, "--timeout", "50")
    assert len(server.record) == 9
