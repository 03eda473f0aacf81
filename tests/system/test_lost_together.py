"""Several things are lost in one run, and nothing with them: workers, Redis's data, the database server."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.postgres import PostgresServer
from support.stack import Stack, draw_charts, eventually

from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.3, look=False)
ENVIRONMENT = {"MAX_RETRIES": "0"}

CONCURRENCY = 4


def asked(server: Rehearsal, calls: int) -> None:
    eventually(lambda: len(server.record) >= calls)


def finished_once(user: Stack, batch_id: str, count: int) -> None:
    """Every chart has its answer, from one attempt that counted."""
    user.wait(batch_id)
    assert [(row["status"], row["attempts"]) for row in user.results(batch_id)] == [("finished", 1)] * count


def test_a_flushed_redis_and_a_killed_worker_in_one_run(user: Stack, server: Rehearsal) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 200))
    killed, *_ = (user.worker("--concurrency", str(CONCURRENCY)) for _ in range(2))
    asked(server, 40)
    with closing(user.redis()) as redis:
        redis.flushall()
    killed.kill()
    finished_once(user, batch_id, 200)
    assert len(server.record) <= 200 + CONCURRENCY


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
        server.start()
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.remove()


def test_workers_on_postgresql_lose_one_of_theirs_and_twice_their_server(
    user: Stack, server: Rehearsal, postgres: PostgresServer
) -> None:
    """Once it is shut down, once it crashes. Answers that come in meanwhile are held."""
    user.environment["RESULTS_URL"] = postgres.new_database()
    user.home.mkdir()  # else workers, one of which is killed, stamp in the system's temporary folder
    batch_id = user.submit(draw_charts(user.folder / "charts", 150))
    killed, *others = (user.worker("--concurrency", str(CONCURRENCY)) for _ in range(3))
    asked(server, 15)
    killed.kill()
    for how in (signal.SIGINT, signal.SIGQUIT):
        asked(server, len(server.record) + 8)
        before = [len(worker.said) for worker in others]
        postgres.stop(how)
        for worker, length in zip(others, before, strict=True):
            eventually(lambda worker=worker, length=length: "waiting for the results store" in worker.said[length:])  # type: ignore[misc]
        after = [len(worker.said) for worker in others]
        postgres.start()
        for worker, length in zip(others, after, strict=True):
            eventually(lambda worker=worker, length=length: bool(re.search(r" in \d", worker.said[length:])))  # type: ignore[misc]
    finished_once(user, batch_id, 150)
    assert len(server.record) <= 150 + CONCURRENCY
    assert [worker.poll() for worker in others] == [None, None]
    assert "Traceback" not in "".join(worker.said for worker in others)
