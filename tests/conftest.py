"""What many tests need: the program as a user runs it, a provider, a Redis. Some tests have their own instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from support.lanes import running_redis
from support.stack import Stack, stack

from worker.rehearsal import Behaviour, Rehearsal


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(Behaviour(latency_s=0.05)) as running:
        yield running


@pytest.fixture
def user(server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token") as made:
        yield made


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as redis:
        yield redis
