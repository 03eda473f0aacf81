"""The list's events: one look at the ledger for everybody, seen soon, and nobody sees what is another's."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.http_api import png
from support.producer import Producer

from jobs.batches import operations
from jobs.batches.shapes import BatchDocument
from jobs.server import create_app
from jobs.server.watcher import Watcher


@pytest.fixture
def watcher(user: Producer) -> Iterator[Watcher]:
    app = create_app(user.settings)
    yield app.state.backend.watcher
    app.state.backend.close()


def submitted(user: Producer) -> str:
    (user.folder / "a.png").write_bytes(png())
    return str(user.submit(user.folder / "a.png")["batch_id"])


def finished(documents: list[BatchDocument]) -> int:
    return sum(document["request_counts"]["finished"] for document in documents)


def test_twenty_pages_cost_less_than_two_reads_a_second_together(
    user: Producer, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = submitted(user)
    store = watcher.new_session().ledger.store
    reads: list[float] = []
    read = store.read

    def counted(work: Any) -> Any:
        reads.append(time.monotonic())
        return read(work)

    async def page(until: float) -> None:
        with watcher.listen("") as news:
            while time.monotonic() < until:
                assert len(await news.get()) == 1

    async def page_of_batch(until: float) -> None:
        with watcher.listen(watcher.new_session().ledger.batch(batch_id)) as news:
            while time.monotonic() < until:
                document = await news.get()
                assert document is not None
                assert document["batch_id"] == batch_id

    async def pages() -> None:
        monkeypatch.setattr(store, "read", counted)
        until = time.monotonic() + 5
        await asyncio.gather(*(one(until) for one in (page, page_of_batch) for _ in range(10)))

    asyncio.run(pages())
    span_s = reads[-1] - reads[0]
    assert span_s > 3
    assert len(reads) - 15 <= 2 * span_s  # ten that open their batch, five of the first look


def test_who_looks_at_a_batch_that_is_deleted_hears_that(user: Producer, watcher: Watcher) -> None:
    batch_id = submitted(user)
    user.run("cancel", batch_id)

    def delete() -> None:
        with user.session() as session:
            operations.delete(session, session.ledger.batch(batch_id))

    async def look() -> None:
        with watcher.listen(watcher.new_session().ledger.batch(batch_id)) as news, watcher.listen("") as lists:
            assert await news.get() is not None
            await asyncio.to_thread(delete)
            while await news.get() is not None:
                pass
            while await lists.get():
                pass

    asyncio.run(look())


def test_what_has_finished_is_told_also_to_who_comes_later(user: Producer, watcher: Watcher) -> None:
    batch_id = submitted(user)

    async def look() -> int:
        with watcher.listen("") as news:
            assert finished(await news.get()) == 0
            await asyncio.to_thread(user.answer, batch_id)
            while finished(await news.get()) == 0:
                pass
            with watcher.listen("") as late:  # the first it hears may be from just before
                while (heard := finished(await late.get())) == 0:
                    pass
            return heard

    assert asyncio.run(look()) == 1


def test_an_owner_sees_its_own(user: Producer, watcher: Watcher) -> None:
    submitted(user)

    async def look() -> int:
        with watcher.listen("ann") as news:
            return len(await news.get())

    assert asyncio.run(look()) == 0
