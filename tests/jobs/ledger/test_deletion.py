"""Batches that go: hidden at once, with what nobody else wants; what another has stays as it is; on both stores."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.stores import QUESTION, finished, id_of, open_batch, start, submit

from jobs.core.errors import InputError, UnknownIdError
from jobs.ledger import Batch, Ledger, Size
from jobs.ledger import questions as questions_of
from jobs.ledger.transaction import Transaction


def answered(ledger: Ledger, charts: str, *, now: float = 1) -> Batch:
    batch = submit(ledger, charts, now=now)
    for chart in charts:
        if ledger.start([(id_of(chart), "e")], now):
            ledger.record([finished(chart)], now)
    return batch


def delete(ledger: Ledger, batch: Batch) -> None:
    ledger.hide(batch, 9.0)
    ledger.remove_hidden()


def test_a_deleted_batch_takes_along_what_nobody_else_wants(ledger: Ledger) -> None:
    first, second = answered(ledger, "abc"), answered(ledger, "bcd", now=2)
    assert ledger.size_of(first).rows == 3
    assert 0 < ledger.size_of(first).bytes < ledger.size_of(answered(ledger, "xyz", now=3)).bytes
    before = [(row.custom_id, row.text) for row in ledger.results(second)]
    delete(ledger, first)
    with pytest.raises(UnknownIdError):
        ledger.batch(first.batch_id)
    with pytest.raises(UnknownIdError):
        ledger.job(id_of("a"))
    assert [(row.custom_id, row.text) for row in ledger.results(second)] == before
    assert ledger.counts(second, recent_since=0).finished == 3
    assert ledger.counts_of([first], recent_since=0) == {}
    assert first.batch_id not in [batch.batch_id for batch in ledger.batches()]


def test_why_a_batch_stays_is_told_without_touching_it(ledger: Ledger) -> None:
    """`prune` asks it of every old batch: on a store that is only read from."""
    assert ledger.obstacle_to_deletion(answered(ledger, "ab")) == ""
    waits = submit(ledger, "c", now=2)
    assert f"chartq cancel {waits.batch_id}" in ledger.obstacle_to_deletion(waits)


def questions(ledger: Ledger) -> int:
    counted: int = ledger.store.read(lambda tx: tx.execute("SELECT COUNT(*) FROM questions").fetchone()[0])
    return counted


def test_questions_go_with_the_last_who_asks_them(ledger: Ledger) -> None:
    """A stage has one for each of its rows."""
    first, second = answered(ledger, "ab"), answered(ledger, "bc", now=2)
    delete(ledger, first)
    assert questions(ledger) == 1
    delete(ledger, second)
    assert questions(ledger) == 0
    empty = open_batch(ledger, now=3)
    ledger.cancel(empty, 4)
    delete(ledger, ledger.batch(empty.batch_id))
    assert questions(ledger) == 0
    assert [row.prompt for row in ledger.results(answered(ledger, "ab", now=5))] == [QUESTION.prompt] * 2


def test_a_question_that_a_submit_is_taking_up_stays(ledger: Ledger) -> None:
    """Whoever comes first, the other waits; the job that was written finds its question."""
    batch = answered(ledger, "a")
    taken_up, looked = threading.Event(), threading.Event()

    def submits(tx: Transaction) -> None:
        questions_of.put(tx, {QUESTION.id: QUESTION})
        taken_up.set()
        looked.wait(0.5)  # the deletion has to wait for us
        job = {"job_id": id_of("b"), "question_id": QUESTION.id, "image_sha256": "", "image": "/b.png"}
        tx.run("insert_job", **job, batch=1, now=2.0)

    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(ledger.store.write, submits)
        assert taken_up.wait(30)
        delete(ledger, batch)
        looked.set()
        submitted.result()
    assert questions(ledger) == 1


def test_what_was_deleted_is_asked_anew(ledger: Ledger) -> None:
    delete(ledger, answered(ledger, "ab"))
    again = submit(ledger, "ab", now=5)
    counts = ledger.counts(again, recent_since=0)
    assert (counts.queued, counts.finished, counts.total) == (2, 0, 2)


def test_the_number_of_a_deleted_batch_is_given_to_no_other(ledger: Ledger) -> None:
    first = answered(ledger, "a")
    newest = answered(ledger, "ab", now=2)
    delete(ledger, newest)
    after = submit(ledger, "a", now=3, refresh=True)
    assert after.id > newest.id
    assert ledger.counts(after, recent_since=0).queued == 1, "a refresh by a later batch is heard"
    assert ledger.counts(first, recent_since=0).finished == 1


@pytest.mark.parametrize("state", ["queued", "started", "unsealed"])
def test_a_batch_in_progress_is_not_deleted(ledger: Ledger, state: str) -> None:
    batch = answered(ledger, "ab") if state == "unsealed" else submit(ledger, "ab", now=1)
    if state == "started":
        start(ledger, "a", now=1)
    elif state == "unsealed":
        ledger.unseal(batch)  # a submit goes on with it
    with pytest.raises(InputError, match=f"{batch.batch_id} is in progress: chartq cancel"):
        ledger.hide(batch, 2.0)
    assert ledger.batch(batch.batch_id)


def test_a_batch_whose_answers_another_asks_about_is_not_deleted_before_that_one(ledger: Ledger) -> None:
    source = answered(ledger, "ab")
    stage = ledger.open_batch(
        question=QUESTION, name=None, fingerprint="s", sources=[], priority="normal", now=2, source=source.batch_id
    )
    ledger.seal(stage, 2)
    with pytest.raises(InputError, match=f"{stage.batch_id} asks about the answers of {source.batch_id}"):
        ledger.hide(source, 3.0)
    assert ledger.counts(source, recent_since=0).finished == 2
    delete(ledger, stage)
    delete(ledger, source)


def test_a_deletion_that_was_interrupted_is_finished_by_the_next(ledger: Ledger) -> None:
    batch = answered(ledger, "abc")
    ledger.hide(batch, 9.0)  # and then the process dies
    with pytest.raises(InputError, match="no batch"):
        ledger.hide(batch, 9.0)
    assert ledger.job(id_of("a"))
    ledger.remove_hidden()
    with pytest.raises(UnknownIdError):
        ledger.job(id_of("a"))
    ledger.remove_hidden()
    assert ledger.size_of(batch) == Size()


def test_the_room_of_what_was_deleted_goes_back_to_the_system(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    with Ledger.open(f"sqlite:///{file}") as ledger:
        batch = submit(ledger, "abcdefgh", now=1)
        for chart in "abcdefgh":
            start(ledger, chart, now=1)
            ledger.record([finished(chart, text="x" * 500_000)], 1)
        with closing(sqlite3.connect(file)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = file.stat().st_size
            delete(ledger, batch)
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert before > 4_000_000
        assert file.stat().st_size < before / 10
