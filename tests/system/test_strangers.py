"""Two projects on one Redis: the second is refused with a sentence; nobody's jobs are taken, dropped or paid for."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from support.redis_servers import own_redis
from support.stack import Stack, draw_charts, eventually, finish, stack

from worker.rehearsal import Behaviour, Rehearsal


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(Behaviour(latency_s=0.1)) as running:
        yield running


@pytest.fixture
def projects(server: Rehearsal, tmp_path: Path) -> Iterator[tuple[Stack, Stack]]:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with own_redis() as redis:
        shared = {"HF_BASE_URL": server.base_url, "HF_TOKEN": "hf_secret_token", "REDIS_URL": redis.url}
        with stack(tmp_path / "a", **shared) as a, stack(tmp_path / "b", **shared) as b:
            yield a, b


def test_a_second_project_is_refused_at_submit_run_and_worker(projects: tuple[Stack, Stack], server: Rehearsal) -> None:
    a, b = projects
    batch = a.submit(draw_charts(a.folder / "charts", 20))
    charts = draw_charts(b.folder / "charts", 5, start=20)
    for command in (("submit", str(charts), "-p", "Up?"), ("run", str(charts), "-p", "Up?"), ("worker", "--burst")):
        told = b.run(*command, expect=1).stderr
        assert str(a.home) in told, command
        assert str(b.home) in told, command
        assert "REDIS_URL=redis://HOST:PORT/1" in told, command
    assert not server.record
    a.worker()
    assert a.run("wait", batch, "--timeout", "55").code == 0
    assert len(server.record) == 20


def test_a_worker_whose_redis_was_flushed_and_taken_by_another_project_takes_none_of_its_jobs(
    projects: tuple[Stack, Stack], server: Rehearsal
) -> None:
    a, b = projects
    server.behave(latency_s=20)
    mine = a.submit(draw_charts(a.folder / "charts", 4))
    worker = a.start("worker", "--concurrency", "8", "--grace", "1")
    eventually(lambda: len(server.record) >= 4)
    worker.send_signal(signal.SIGSTOP)
    with closing(Redis.from_url(a.environment["REDIS_URL"])) as redis:
        redis.flushall()
    batch = b.submit(draw_charts(b.folder / "charts", 6, start=20))
    worker.send_signal(signal.SIGCONT)
    ended = finish(worker)
    assert ended.code == 1
    assert "another project" in ended.stderr
    assert a.counts(mine).failed == 0
    server.behave(latency_s=0.0)
    b.worker()
    assert b.run("wait", batch, "--timeout", "55").code == 0
    assert b.counts(batch).finished == 6


def test_a_redis_that_nobody_uses_any_more_is_taken_over(projects: tuple[Stack, Stack], server: Rehearsal) -> None:
    a, b = projects
    batch = a.submit(draw_charts(a.folder / "charts", 3))
    a.run("cancel", batch)
    with closing(Redis.from_url(a.environment["REDIS_URL"])) as redis:
        assert redis.pttl("chartq:claim") > 0
        redis.delete("chartq:claim")  # as by itself, half a minute later
    again = b.submit(draw_charts(b.folder / "charts", 3, start=20))
    b.run("worker", "--burst")
    assert b.counts(again).finished == 3
