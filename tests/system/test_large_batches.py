"""Of a large batch Redis has only what is next; the rest waits in the ledger, and nothing is forgotten there."""

import pytest
from support.lanes import LANE, Lanes
from support.repository import ROOT
from support.stack import Stack, draw_charts, eventually, finish
from support.stores import finished, id_of, members_of, open_batch

from jobs.batches.reconcile import put_back_all, refill
from jobs.lanes import queues
from jobs.lanes.scripts import text
from jobs.ledger import Batch, Ledger
from worker.rehearsal import Rehearsal

SMALL_WINDOW = str(ROOT / "tests" / "support" / "small_window.py")
CHARTS, CHUNK = [f"{number:02d}" for number in range(35)], 7


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "WINDOW", 10)


def submit(ledger: Ledger, lanes: Lanes) -> Batch:
    """In the ledger and, as far as there is room, in Redis: chunk by chunk."""
    batch, rows = open_batch(ledger, now=1), members_of(CHARTS)
    for start in range(0, len(rows), CHUNK):
        added = ledger.add_members(batch, rows[start : start + CHUNK], refresh=False, count_rehearsals=False, now=1)
        lanes.queues.enqueue(added.queue, lane=LANE, batch_id=batch.batch_id)
    ledger.seal(batch, 1)
    return batch


def in_redis(lanes: Lanes, batch: Batch) -> list[str]:
    """The charts that stand on the batch's queue."""
    charts = {id_of(chart): chart for chart in CHARTS}
    return [charts[text(job)] for job in lanes.redis.lrange(f"rq:queue:{LANE}@{batch.batch_id}", 0, -1)]


def chunks_of(charts: list[str]) -> list[int]:
    """The ledger keeps the order of chunks; within one, that of submission is Redis's."""
    return [CHARTS.index(chart) // CHUNK for chart in charts]


def test_a_queue_is_filled_to_its_window_and_what_waits_in_the_ledger_counts_as_queued(
    ledger: Ledger, lanes: Lanes
) -> None:
    batch = submit(ledger, lanes)
    assert in_redis(lanes, batch) == CHARTS[:10]
    assert lanes.queued() == 35
    assert lanes.queues.half_empty() == []


def test_jobs_are_brought_in_the_order_of_submission_until_none_is_left(ledger: Ledger, lanes: Lanes) -> None:
    batch = submit(ledger, lanes)
    worker, called = lanes.worker(), []
    while leases := worker.take(4):
        ledger.start([(lease.job, lease.execution) for lease in leases], 2)
        for lease in leases:
            chart = CHARTS[[id_of(one) for one in CHARTS].index(lease.job)]
            ledger.record([finished(chart, execution_id=lease.execution)], 3)
            called.append(chart)
        worker.answered(*leases)
        for lane, batch_id in lanes.queues.half_empty():
            assert (lane, batch_id) == (LANE, batch.batch_id)
            refill(ledger, lanes.queues, batch)
        assert len(in_redis(lanes, batch)) <= 10
        assert lanes.queued() == len(CHARTS) - len(called)
    assert chunks_of(called) == chunks_of(CHARTS)
    assert sorted(called) == CHARTS
    assert lanes.redis.exists("chartq:beyond") == 0


def test_after_a_flush_what_is_next_comes_back_first_and_the_rest_is_counted_anew(ledger: Ledger, lanes: Lanes) -> None:
    batch = submit(ledger, lanes)
    lanes.redis.flushall()
    for _ in range(2):  # twice is as good as once
        put_back_all(ledger, lanes.queues)
        assert chunks_of(in_redis(lanes, batch)) == chunks_of(CHARTS[:10])
        assert lanes.queued() == 35


def test_an_empty_queue_of_which_jobs_wait_in_the_ledger_is_something_to_wait_for(ledger: Ledger, lanes: Lanes) -> None:
    submit(ledger, lanes)
    worker = lanes.worker()
    worker.answered(*worker.take(10))
    assert worker.take(1) == []
    assert worker.turned.waiting == 1


def test_a_canceled_batch_leaves_nothing_to_be_brought(ledger: Ledger, lanes: Lanes) -> None:
    batch = submit(ledger, lanes)
    ledger.cancel(batch, 2)
    lanes.queues.drop(lane=LANE, batch_id=batch.batch_id)
    assert lanes.queues.half_empty() == []
    assert lanes.redis.exists("chartq:beyond") == 0


def test_a_worker_asks_about_every_chart_of_a_batch_that_is_larger_than_the_window(
    user: Stack, server: Rehearsal
) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    submitted = finish(user.launch(SMALL_WINDOW, "submit", str(charts), "-p", "Up?", "-q"))
    batch_id = submitted.stdout.strip()
    worker = user.launch(SMALL_WINDOW, "worker", "--burst", "--concurrency", "4")
    eventually(lambda: len(server.record) > 20)
    assert user.redis().dbsize() < 60
    assert finish(worker).code == 0
    assert user.counts(batch_id).finished == 60
    assert len({call.image_sha256 for call in server.record}) == len(server.record) == 60
