"""A thousand looks at one batch are a few reads of the ledger; a change made here is seen at once."""

import asyncio
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from support.http_api import png
from support.producer import Producer

from jobs.server import recent
from jobs.server.recent import Recent


class Reads:
    def __init__(self) -> None:
        self.count, self._lock = 0, threading.Lock()

    def __call__(self) -> bytes:
        with self._lock:
            self.count += 1
            return str(self.count).encode()


def test_who_asks_at_the_same_moment_shares_one_read() -> None:
    async def many() -> list[bytes]:
        kept = Recent()
        answers = await asyncio.gather(*(kept.get("a", read) for _ in range(50)))
        assert await kept.get("b", read) == b"2"
        kept.forget()
        return [*answers, await kept.get("a", read)]

    read = Reads()
    assert asyncio.run(many()) == [b"1"] * 50 + [b"3"]


def test_what_is_older_than_a_moment_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[bytes]:
        kept = Recent()
        return [await kept.get("a", read), await kept.get("a", read)]

    monkeypatch.setattr(recent, "FRESH_S", 0.0)
    read = Reads()
    assert asyncio.run(twice()) == [b"1", b"2"]


def test_what_is_kept_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def many() -> int:
        kept = Recent()
        for name in range(20):
            await kept.get(name, lambda: b"x" * 100)
        return sum([await kept.get(name, read) == b"x" * 100 for name in range(19, -1, -1)])

    read = Reads()
    monkeypatch.setattr(recent, "_KEPT_BYTES", 500)
    assert 0 < asyncio.run(many()) <= 6
    monkeypatch.setattr(recent, "_KEPT_BYTES", 5_000)
    monkeypatch.setattr(recent, "_KEPT", 3)
    assert 0 < asyncio.run(many()) <= 3


def test_an_error_is_told_to_all_who_asked_and_not_kept() -> None:
    def broken() -> bytes:
        raise ValueError

    async def ask() -> Any:
        kept = Recent()
        told = await asyncio.gather(*(kept.get("a", broken) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in told] == [ValueError] * 3
        return await kept.get("a", Reads())

    assert asyncio.run(ask()) == b"1"


def test_who_has_changed_a_batch_is_never_shown_how_it_was(user: Producer, api: TestClient) -> None:
    (user.folder / "a.png").write_bytes(png())
    batch_id = user.submit(user.folder / "a.png")["batch_id"]
    for act, status in (("pause", "on_hold"), ("resume", "in_progress"), ("cancel", "canceled")):
        api.get(f"/batches/{batch_id}")
        assert api.post(f"/batches/{batch_id}/{act}").json()["status"] == status
        assert api.get(f"/batches/{batch_id}").json()["status"] == status


def test_what_one_key_was_shown_a_moment_ago_no_other_is(
    user: Producer, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "FRESH_S", 60)
    ann, bob = user.new_key("ann"), user.new_key("bob")
    files = {"files": ("a.png", png())}
    batch_id = api.post("/batches", files=files, data={"prompt": "Up?"}, headers=ann).json()["batch_id"]
    for path in (f"/batches/{batch_id}", "/batches"):
        assert batch_id in api.get(path, headers=ann).text
        assert batch_id not in api.get(path, headers=bob).text.replace(f"no batch '{batch_id}'", "")
    assert api.get(f"/batches/{batch_id}", headers=bob).status_code == 404
