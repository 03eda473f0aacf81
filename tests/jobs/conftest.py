"""Producers' tests: the commands in this process, and a ledger on each kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.producer import Producer, producer_in
from support.stores import STORES, new_store

from jobs.ledger import Ledger


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    with producer_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(params=STORES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(new_store(request.param, tmp_path)) as opened:
        yield opened
