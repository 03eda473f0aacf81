"""Producers' tests: the commands in this process, and a ledger on each kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.producer import Producer, producer_in
from support.stores import STORES, new_store

from jobs.ledger import Ledger


@pytest.fixture
def user(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    """Who types commands; they see what the test's module says in ENVIRONMENT."""
    with producer_in(tmp_path, monkeypatch) as made:
        for name, value in getattr(request.module, "ENVIRONMENT", {}).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture(params=STORES)
def each_store(user: Producer, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's results stand in one kind of store after the other."""
    monkeypatch.setenv("RESULTS_URL", new_store(request.param, tmp_path))


@pytest.fixture(params=STORES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(new_store(request.param, tmp_path)) as opened:
        yield opened
