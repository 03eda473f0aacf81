"""Two Redis for one store: who comes with the second is refused while somebody works through the first; nothing is paid
for twice. A Redis that lost everything, was restarted, or follows one that is gone, is no stranger.
"""

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.http_api import client_of, error_of, png
from support.redis_servers import OwnRedis, own_redis
from support.stack import PATIENCE_S, Stack, draw_charts, eventually, finish

from jobs.config.settings import Settings
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.1)


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    with own_redis() as server:
        yield server


def test_a_shell_without_the_redis_url_is_refused_and_no_chart_is_paid_for_twice(
    user: Stack, server: Rehearsal, redis: OwnRedis
) -> None:
    server.behave(latency_s=1.5)
    charts = draw_charts(user.folder / "charts", 200)
    batch_id = user.submit(charts, REDIS_URL=redis.url)
    user.worker(REDIS_URL=redis.url)
    asking = [(command, str(charts), "-p", "Up or down?") for command in ("run", "submit")]
    for command in (*asking, ("serve", "--port", "0")):
        told = user.run(*command, expect=1).stderr
        assert f"127.0.0.1:{redis.port}" in told
        assert f"embedded in {user.home}" in told
        assert "Set REDIS_URL" in told
    checks = user.run("doctor", "--json", expect=1).json()["checks"]
    assert [check["ok"] for check in checks if check["name"] == "project"] == [False]
    with client_of(Settings(chartq_home=user.home)) as client:
        for answer in (client.post("/analyze", files={"file": ("a.png", png())}), client.get("/lanes")):
            assert answer.status_code == 503
            assert str(redis.port) not in error_of(answer)["message"]
    user.wait(batch_id, REDIS_URL=redis.url)
    assert len(server.record) == 200


def test_a_redis_that_lost_everything_is_no_stranger(user: Stack, redis: OwnRedis) -> None:
    user.environment["REDIS_URL"] = redis.url
    worker = user.worker()
    eventually(lambda: bool(redis.client.exists("chartq:id")))
    name = redis.client.get("chartq:id")
    redis.client.flushall()
    batch_id = user.submit(draw_charts(user.folder / "charts", 20))
    user.wait(batch_id)
    assert redis.client.get("chartq:id") == name
    redis.client.flushall()
    eventually(lambda: redis.client.get("chartq:id") == name)  # also with nobody but the worker
    assert worker.poll() is None


def test_an_embedded_redis_that_restarts_with_or_without_its_data_is_no_stranger(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 20)
    for number in range(3):
        said = user.run("run", str(charts), "-p", f"Question {number}?").stderr
        assert "just now" not in said
        if number:
            shutil.rmtree(user.home / "redis")


def seen_s_ago(user: Stack, age_s: float) -> None:
    """Whoever worked on the store says nothing more since so long."""
    with closing(sqlite3.connect(user.home / "results.sqlite", timeout=PATIENCE_S)) as store, store:
        store.execute("UPDATE schema_info SET redis_seen_at = (julianday('now') - 2440587.5) * 86400.0 - ?", (age_s,))


def test_the_queue_moves_to_another_redis_when_the_old_one_is_gone(user: Stack, server: Rehearsal) -> None:
    with own_redis() as old:
        batch_id = user.submit(draw_charts(user.folder / "charts", 20), REDIS_URL=old.url)
    seen_s_ago(user, 0.0)
    with own_redis() as new:
        worker = user.launch("-m", "worker.main", "worker", log=user.folder / "worker.log", REDIS_URL=new.url)
        eventually(lambda: "just now" in worker.said)  # it waits whether somebody is still there, and nobody is
        seen_s_ago(user, 40.0)
        user.wait(batch_id, REDIS_URL=new.url)
    assert user.counts(batch_id).finished == 20
    assert len(server.record) == 20


def test_a_worker_whose_store_was_taken_to_another_redis_meanwhile_leaves(
    user: Stack, server: Rehearsal, redis: OwnRedis
) -> None:
    charts = draw_charts(user.folder / "charts", 40)
    worker = user.start("worker", "--grace", "1", REDIS_URL=redis.url)
    eventually(lambda: bool(redis.client.exists("chartq:workers")))
    with user.locked_store():  # who is frozen within a transaction locks the others out
        worker.send_signal(signal.SIGSTOP)
    batch_id = user.submit(charts, REDIS_URL=redis.url)
    seen_s_ago(user, 40.0)
    embedded = user.worker()
    user.wait(batch_id)
    seen_s_ago(user, 0.0)
    server.behave(latency_s=5)
    user.submit(draw_charts(user.folder / "more", 20, start=50))
    eventually(lambda: len(server.record) >= 50)
    worker.send_signal(signal.SIGCONT)
    ended = finish(worker)
    assert ended.code == 1
    assert "another Redis, embedded in" in ended.stderr
    assert embedded.poll() is None
    eventually(lambda: len(server.record) == 60)
