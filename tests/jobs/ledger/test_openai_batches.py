"""Batches that wait for their validation: each is one server's, for a while, by one clock."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from support.stores import QUESTION

from jobs.ledger import Ledger
from jobs.ledger.openai_batches import LEASE_S, NewOpenAIBatch

NEW = NewOpenAIBatch(
    owner="", input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", metadata=None
)


def waiting(ledger: Ledger, count: int = 1) -> list[str]:
    return [ledger.create_openai_batch(NEW, question=QUESTION, name=None, now=1.0) for _ in range(count)]


def taken(ledger: Ledger, now: float) -> str | None:
    record = ledger.take_openai_batch(now)
    return None if record is None else record.batch_id


def test_a_batch_is_validated_by_one_and_by_another_when_that_one_falls_silent(ledger: Ledger) -> None:
    [batch] = waiting(ledger)
    record = ledger.take_openai_batch(1000.0)
    assert record is not None
    assert record.batch_id == batch
    assert taken(ledger, 1000.0 + LEASE_S) is None
    ledger.openai_batch_goes_on(record, 1000.0 + LEASE_S)
    assert taken(ledger, 1000.0 + 2 * LEASE_S) is None
    assert taken(ledger, 1001.0 + 2 * LEASE_S) == batch
    ledger.openai_batch_submitted(record, 2000.0)
    assert taken(ledger, 9000.0) is None


def test_one_that_was_taken_by_a_clock_that_has_been_set_back_is_taken_again(ledger: Ledger) -> None:
    [batch] = waiting(ledger)
    assert taken(ledger, 10_000.0) == batch
    assert taken(ledger, 10_000.0 - LEASE_S) is None, "of clocks that differ by less nobody says which is right"
    assert taken(ledger, 9_000.0) == batch
    assert taken(ledger, 9_001.0) is None


def test_of_many_who_look_at_once_one_has_it(ledger: Ledger) -> None:
    batches, all_look = waiting(ledger, 12), Barrier(6)

    def look(_number: int) -> list[str]:
        all_look.wait(30)
        return [batch for _ in batches if (batch := taken(ledger, 1000.0)) is not None]

    with ThreadPoolExecutor(6) as pool:
        found = [batch for some in pool.map(look, range(6)) for batch in some]
    assert len(found) == len(set(found))
    rest = [batch for _ in batches if (batch := taken(ledger, 1000.0)) is not None]
    assert sorted(found + rest) == sorted(batches)
