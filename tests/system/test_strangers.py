"""Two projects on one Redis: the second is refused with a sentence; nobody's jobs are taken, dropped or paid for."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from support.http_api import client_of, error_of, png
from support.redis_servers import own_redis
from support.stack import PATIENCE_S, Stack, draw_charts, eventually, finish, stack

from jobs.config.settings import Settings
from jobs.core.secret import Secret
from jobs.ledger import Ledger
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.1)


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
    serve = ("serve", "--port", "0", "--no-work")
    asking = [(command, str(charts), "-p", "Up?") for command in ("submit", "run")]
    for command in (*asking, ("worker", "--burst"), serve):
        is_refused_by(a, b, *command)
    assert not server.record
    a.worker()
    a.wait(batch)
    assert len(server.record) == 20


def is_refused_by(a: Stack, b: Stack, *command: str) -> None:
    told = b.run(*command, expect=1).stderr
    assert str(a.home) in told, command
    assert str(b.home) in told, command
    assert "REDIS_URL=redis://HOST:PORT/1" in told, command


def test_no_command_of_a_second_project_touches_the_first_ones_jobs(projects: tuple[Stack, Stack]) -> None:
    a, b = projects
    alone: dict[str, Any] = {"REDIS_URL": ""}
    theirs = b.submit(draw_charts(b.folder / "charts", 5, start=20), **alone)
    b.run("worker", "--burst", **alone)
    queued = b.submit(draw_charts(b.folder / "more", 5, start=30), **alone)
    a.submit(draw_charts(a.folder / "charts", 20))
    before = b.counts(theirs), b.counts(queued)
    changing = (("retry", theirs), ("cancel", queued), ("resume",), ("pause", queued), ("limit", "org/m", "30/m"))
    for command in (*changing, ("lanes",)):
        is_refused_by(a, b, *command)
    for reading in (("status", queued), ("list",)):
        assert str(a.home) in b.run(*reading).stderr, reading
    checks = b.run("doctor", "--json", expect=1).json()["checks"]
    [found] = [check["message"] for check in checks if check["name"] == "project"]
    assert str(a.home) in found
    assert (b.counts(theirs), b.counts(queued)) == before
    with closing(Ledger.open(b.results_url)) as ledger:
        assert not ledger.controls().limits


def test_over_http_a_second_project_is_answered_with_503_and_the_log_says_once_why(
    projects: tuple[Stack, Stack], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = projects
    queued = b.submit(draw_charts(b.folder / "more", 5, start=30), REDIS_URL="")
    mine = a.submit(draw_charts(a.folder / "charts", 20))
    before = b.counts(queued)
    settings = Settings(chartq_home=b.home, redis_url=Secret(a.environment["REDIS_URL"]))
    with client_of(settings) as client:
        picture = {"file": ("a.png", png())}
        changing = [client.post(f"/batches/{queued}/{verb}") for verb in ("cancel", "retry", "resume", "pause")]
        for answer in (*changing, client.post("/analyze", files=picture), client.get("/lanes")):
            assert answer.status_code == 503, answer.url
            assert "another project" in error_of(answer)["message"], answer.url
            assert not any(str(home) in answer.text for home in (a.home, b.home)), answer.url
        assert "another project" in error_of(client.get("/health"))["message"]
    [told] = [record.message for record in caplog.records if record.name == "chartq.server"]
    assert str(a.home) in told
    assert b.counts(queued) == before
    assert a.counts(mine).queued == 20


def test_a_redis_from_before_there_were_claims_is_known_by_its_jobs(projects: tuple[Stack, Stack]) -> None:
    a, b = projects
    a.submit(draw_charts(a.folder / "charts", 20))
    with closing(Redis.from_url(a.environment["REDIS_URL"])) as redis:
        redis.delete("chartq:claim", "chartq:controls")
        told = b.run("worker", "--burst", expect=1).stderr
        assert "jobs of another project" in told
        assert str(b.home) in told
        assert not redis.exists("chartq:claim", "chartq:controls")
    a.run("worker", "--burst")


def test_two_stores_on_one_embedded_redis_don_t_work_at_a_time(server: Rehearsal, tmp_path: Path) -> None:
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token") as user:
        charts = draw_charts(user.folder / "charts", 3)
        worker = user.worker()
        other = {"RESULTS_URL": f"sqlite:///{tmp_path}/other.sqlite"}
        assert "other.sqlite" in user.run("submit", str(charts), "-p", "Up?", expect=1, **other).stderr
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
        (user.home / "results.sqlite").unlink()
        user.run("run", str(charts), "-p", "Up?")  # at once: the store that is gone was here


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
    b.wait(batch)
    assert b.counts(batch).finished == 6


def test_a_redis_that_nobody_uses_any_more_is_taken_over(projects: tuple[Stack, Stack]) -> None:
    a, b = projects
    batch = a.submit(draw_charts(a.folder / "charts", 3))
    a.run("cancel", batch)
    with closing(Redis.from_url(a.environment["REDIS_URL"])) as redis:
        assert redis.pttl("chartq:claim") > 0
        redis.delete("chartq:claim")  # as by itself, half a minute later
    again = b.submit(draw_charts(b.folder / "charts", 3, start=20))
    b.run("worker", "--burst")
    assert b.counts(again).finished == 3
