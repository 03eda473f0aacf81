"""Redis that breaks in every way that it knows, while real processes submit and work: they go on when it is back."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from support.producer import Producer, producer_in
from support.redis_servers import BrokenWay, OwnRedis, broken_way, own_redis
from support.stack import Program, Stack, draw_charts, eventually, stack

from jobs.broker.error_text import redis_trouble
from jobs.broker.file_lock import try_lock
from jobs.broker.server_process import RedisServer
from jobs.lanes import Gates
from worker.rehearsal import Behaviour, Rehearsal

MODEL = "org/model"
BEHAVIOUR = Behaviour(latency_s=0.3)
LANE = f"chat:{MODEL}"

Fault = Callable[[OwnRedis], AbstractContextManager[None]]

#: The user's own words in REDIS_URL: a reply that takes longer counts as lost.
QUICK = "?socket_timeout=2"


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    with own_redis(appendonly="yes") as running:
        yield running


@pytest.fixture
def way(redis: OwnRedis) -> Iterator[BrokenWay]:
    with broken_way(redis.port) as proxy:
        yield proxy


@pytest.fixture
def user(server: Rehearsal, way: BrokenWay, tmp_path: Path) -> Iterator[Stack]:
    settings = {"HF_BASE_URL": server.base_url, "VISION_MODEL": MODEL, "REDIS_URL": way.url + QUICK}
    with stack(tmp_path, HF_RATE_LIMIT="1000/h", **settings) as made:
        yield made


@pytest.fixture
def producer(way: BrokenWay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    with producer_in(tmp_path, monkeypatch) as made:
        monkeypatch.setenv("REDIS_URL", way.url + QUICK)
        monkeypatch.setenv("VISION_MODEL", MODEL)
        yield made


@contextmanager
def out_of_memory(redis: OwnRedis) -> Iterator[None]:
    redis.client.config_set("maxmemory", 1)
    yield
    redis.client.config_set("maxmemory", 0)


@contextmanager
def read_only(redis: OwnRedis) -> Iterator[None]:
    redis.client.replicaof("127.0.0.1", 1)
    yield
    redis.client.replicaof("NO", "ONE")


@contextmanager
def full_disk(redis: OwnRedis) -> Iterator[None]:
    redis.limit_files(1)
    redis.client.set("what", "shows it")
    _written(redis, "err")
    yield
    redis.limit_files(-1)
    _written(redis, "ok")


def _written(redis: OwnRedis, status: str) -> None:
    """Redis writes its file once a second."""
    eventually(lambda: redis.client.info("persistence")["aof_last_write_status"] == status)


@contextmanager
def stalled(redis: OwnRedis) -> Iterator[None]:
    """What was sent meanwhile runs afterwards, with nobody there to hear the reply."""
    redis.process.send_signal(signal.SIGSTOP)
    yield
    redis.process.send_signal(signal.SIGCONT)


# Submitting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (out_of_memory, r"Redis: it is out of memory: raise its maxmemory.*run the same command again"),
        (full_disk, r"Redis at redis://127.*: it can't write to its disk: make room there"),
        (read_only, r"REDIS_URL: this server is a read-only replica; give the primary's address"),
    ],
)
def test_a_submit_that_redis_refuses_says_what_to_do_and_can_be_run_again(
    producer: Producer, redis: OwnRedis, fault: Fault, told: str
) -> None:
    charts = draw_charts(producer.folder / "charts", 8)
    with fault(redis):
        done = producer.run("submit", charts, "-p", "Up?", expect=1)
    assert re.search(told, done.stderr)
    assert redis.client.keys("rq:job:*") == []
    batch_id = producer.submit(charts)["batch_id"]
    assert len(producer.run("list", "--json").stdout.splitlines()) == 1
    counts = producer.status(batch_id)["request_counts"]
    assert counts["queued"] == redis.client.llen(f"rq:queue:{LANE}@{batch_id}") == 8


def test_a_submit_that_is_cut_off_can_be_run_again(producer: Producer, way: BrokenWay, redis: OwnRedis) -> None:
    charts = draw_charts(producer.folder / "charts", 8)
    way.cut("enqueue", "after", times=3)
    assert "Redis: it is away" in producer.run("submit", charts, "-p", "Up?", expect=1).stderr
    way.cut("enqueue", "before")
    batch_id = producer.submit(charts)["batch_id"]
    assert way.is_spent
    counts = producer.status(batch_id)["request_counts"]
    assert counts["total"] == redis.client.llen(f"rq:queue:{LANE}@{batch_id}") == 8


def test_an_embedded_server_whose_disk_is_full_is_joined_and_says_so(tmp_path: Path) -> None:
    socket, lock = tmp_path / "redis.sock", try_lock(tmp_path / "server.lock")
    assert lock is not None
    os.write(lock, os.fsencode(socket))
    with own_redis(appendonly="yes", unixsocket=socket) as running, full_disk(running):
        assert RedisServer(tmp_path).join() == socket
        with pytest.raises(ResponseError) as caught:
            running.client.ping()
        assert "it can't write to its disk: make room there" in redis_trouble(caught.value)
    os.close(lock)


# Working ------------------------------------------------------------------------------------------------


def test_a_worker_goes_on_after_every_fault_of_redis_and_asks_nothing_twice(
    user: Stack, server: Rehearsal, redis: OwnRedis, way: BrokenWay
) -> None:
    count = 70
    batch_id = user.submit(draw_charts(user.folder / "charts", count))
    worker = user.worker("--concurrency", "4", MAX_RETRIES="0")

    with _mid_run(server):
        way.cut("poll", "before", times=4)
        way.cut("poll", "after", times=4)
        way.cut("heartbeat", "before")
        eventually(lambda: way.is_spent)
        way.cut("heartbeat", "after", times=2)
    with _mid_run(server), stalled(redis), _noted(worker, "it did not answer in time"):
        pass
    with _mid_run(server), read_only(redis), _noted(worker, "it is a read-only replica now"):
        pass
    with _mid_run(server), full_disk(redis), _noted(worker, "it can't write to its disk"):
        pass
    with _mid_run(server), _noted(worker, "it is away"):
        way.block()
    way.block(False)
    with _mid_run(server), out_of_memory(redis):
        asked = len(server.record)
        eventually(lambda: len(server.record) >= asked + 8)  # what is queued is worked on, which makes room

    eventually(lambda: user.counts(batch_id).finished == count)
    eventually(lambda: way.is_spent)
    assert len(server.record) == count
    assert [row["attempts"] for row in user.results(batch_id)] == [1] * count
    assert worker.poll() is None
    [gate] = Gates(redis.client).of_lane(LANE)
    eventually(lambda: Gates(redis.client).of_lane(LANE)[0].in_flight == 0)
    assert gate.spent == (count,), "no permit was lost on the way"
    assert "Traceback" not in worker.said


@contextmanager
def _mid_run(server: Rehearsal) -> Iterator[None]:
    """Calls were made just now, and are under way."""
    asked = len(server.record)
    eventually(lambda: len(server.record) > asked)
    yield


@contextmanager
def _noted(worker: Program, what: str) -> Iterator[None]:
    """At the end the worker has said so, not earlier."""
    before = len(worker.said)
    yield
    eventually(lambda: what in worker.said[before:])
