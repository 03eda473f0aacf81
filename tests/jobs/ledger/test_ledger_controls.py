"""Pauses and limits in the ledger: read as they were written, numbered, ended by people or by their time."""

import pytest
from support.stores import submit

from jobs.core.controls import EVERYTHING, Limit, Pause, subject_of
from jobs.core.rates import RateLimits
from jobs.ledger import Ledger


def test_pauses_are_read_as_they_were_written_and_end(ledger: Ledger) -> None:
    assert not ledger.controls().pauses
    ledger.pause(EVERYTHING, by="ann@host", now=10.0, until=None)
    ledger.pause(subject_of("model", "org/m"), by="ann@host", now=11.0, until=20.0)
    ledger.pause(subject_of("model", "org/m"), by="bob@host", now=12.0, until=30.0)
    before = ledger.controls()
    assert before.pauses == {
        EVERYTHING: Pause(by="ann@host", since=10.0),
        subject_of("model", "org/m"): Pause(by="bob@host", since=12.0, until=30.0),
    }
    assert ledger.end_pauses_that_are_over(29.0) == []
    assert ledger.controls() == before
    ledger.end_pauses_that_are_over(30.0)
    assert set(ledger.controls().pauses) == {EVERYTHING}
    ledger.end_pauses(EVERYTHING)
    assert not ledger.controls().pauses
    assert ledger.controls().version > before.version
    assert ledger.controls().store == ledger.store_id()


def test_a_paused_batch_is_a_pause_until_it_is_resumed_or_its_time_has_come(ledger: Ledger) -> None:
    batch = submit(ledger, "ab", now=1)
    ledger.pause_batch(batch, by="ann@host", now=10.0, until=20.0)
    paused = ledger.batch(batch.batch_id)
    assert paused.hold is not None
    assert paused.hold.is_pause
    assert ledger.controls().pauses == {subject_of("batch", batch.batch_id): paused.hold.pause}
    assert [one.batch_id for one in ledger.end_pauses_that_are_over(20.0)] == [batch.batch_id]
    assert ledger.batch(batch.batch_id).hold is None

    ledger.pause_batch(batch, by="ann@host", now=10.0, until=None)
    assert ledger.resume(batch)
    assert not ledger.controls().pauses
    ledger.pause_batch(batch, by="ann@host", now=10.0, until=None)
    assert [one.batch_id for one in ledger.end_pauses(EVERYTHING)] == [batch.batch_id]


def test_a_limit_is_replaced_and_dropped(ledger: Ledger) -> None:
    rate = RateLimits.parse("5/s,30/h")
    ledger.limit_model("org/m", rate=rate, concurrency=None, by="ann@host", now=1.0)
    assert ledger.controls().limits == {"org/m": Limit(by="ann@host", since=1.0, windows=rate.default)}
    ledger.limit_model("org/m", rate=None, concurrency=3, by="bob@host", now=2.0)
    assert ledger.controls().limits == {"org/m": Limit(by="bob@host", since=2.0, concurrency=3)}
    ledger.limit_model("org/m", rate=None, concurrency=None, by="bob@host", now=3.0)
    assert not ledger.controls().limits
    assert ledger.controls().version == 3


def test_the_store_is_worked_through_one_redis_at_a_time(ledger: Ledger) -> None:
    assert ledger.redis_mark() is None
    assert ledger.other_redis("a", "at a") is None
    assert ledger.mark_redis("a", "at a") is None
    mark = ledger.redis_mark()
    assert mark is not None
    assert (mark.id, mark.place) == ("a", "at a")
    assert 0 <= mark.age_s < 30
    for stranger in ("b", None):
        assert ledger.other_redis(stranger, "at b").place == "at a"  # type: ignore[union-attr]
    assert ledger.mark_redis("b", "at b").id == "a"  # type: ignore[union-attr]
    assert ledger.mark_redis("a", "by another name") is None  # the same one
    assert ledger.mark_redis("c", "by another name") is None  # it has lost its own name
    assert ledger.redis_mark().id == "c"  # type: ignore[union-attr]


@pytest.mark.parametrize("ahead_s", [-31.0, 3600.0])
def test_a_redis_that_was_left_or_is_seen_in_the_future_is_in_nobody_s_way(ledger: Ledger, ahead_s: float) -> None:
    ledger.mark_redis("a", "at a")
    ledger.store.write(lambda tx: tx.execute(f"UPDATE schema_info SET redis_seen_at = redis_seen_at + {ahead_s}"))
    assert ledger.other_redis("b", "at b") is None
    assert ledger.mark_redis("b", "at b") is None
    assert ledger.redis_mark().place == "at b"  # type: ignore[union-attr]
