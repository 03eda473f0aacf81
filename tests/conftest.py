"""What many tests need: the program as a user runs it, a provider, a Redis. Some tests have their own instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from support.lanes import Lanes, running_redis
from support.ports import free_port
from support.postgres import remove_server
from support.stack import Stack, stack
from support.stores import new_store

from jobs.ledger import Ledger
from worker.rehearsal import Behaviour, Rehearsal


def pytest_sessionfinish() -> None:
    """Not at exit: what takes a process longer than ten seconds then, its run kills."""
    remove_server()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Rehearsal]:
    """The provider; it begins as the test's module says in BEHAVIOUR.

    Its port is nobody else's either while it is stopped.
    """
    with Rehearsal(getattr(request.module, "BEHAVIOUR", Behaviour(latency_s=0.05)), port=free_port()) as running:
        yield running


@pytest.fixture
def user(request: pytest.FixtureRequest, server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    """A home, and programs that see what the module says in ENVIRONMENT."""
    given = {"HF_BASE_URL": server.base_url, "HF_TOKEN": "hf_secret_token"}
    with stack(tmp_path, **given | getattr(request.module, "ENVIRONMENT", {})) as made:
        yield made


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as redis:
        yield redis


@pytest.fixture
def lanes(redis: Redis) -> Lanes:
    return Lanes(redis)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty one, in SQLite."""
    with Ledger.open(new_store("sqlite", tmp_path)) as opened:
        yield opened
