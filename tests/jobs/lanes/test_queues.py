"""Queues: what a producer puts in, and what RQ's own readers see of it."""

from dataclasses import replace
from datetime import datetime

import pytest
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from support.lanes import LANE, OTHER_LANE, Lanes, Worker

from jobs.core.controls import NO_CONTROLS
from jobs.lanes import TASK, WAKE_CHANNEL, Depth, queue_name
from jobs.lanes.scripts import rq_prefix

QUEUE = queue_name(LANE, "b1")


def rq_queue(lanes: Lanes) -> Queue:
    return Queue(QUEUE, connection=lanes.redis, serializer="json")


def rq_job(lanes: Lanes, job_id: str) -> Job:
    return Job.fetch(job_id, connection=lanes.redis, serializer="json")


def scheduled_registry(lanes: Lanes) -> ScheduledJobRegistry:
    return ScheduledJobRegistry(queue=rq_queue(lanes))  # type: ignore[no-untyped-call]


def test_keys_begin_as_rq_has_it() -> None:
    assert rq_prefix() == RQ_KEY_PREFIX


def rq_view(lanes: Lanes) -> dict[str, list[str]]:
    """The job ids in every structure that RQ's readers look at."""
    queue = rq_queue(lanes)
    return {
        "queued": queue.get_job_ids(),
        "started": StartedJobRegistry(queue=queue).get_job_ids(cleanup=False),
        "scheduled": scheduled_registry(lanes).get_job_ids(cleanup=False),
        "finished": FinishedJobRegistry(queue=queue).get_job_ids(cleanup=False),
        "failed": FailedJobRegistry(queue=queue).get_job_ids(cleanup=False),
    }


def rq_queues(lanes: Lanes) -> list[str]:
    return sorted(queue.name for queue in Queue.all(connection=lanes.redis))


# Putting in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "started", "scheduled"])
def test_a_job_that_is_open_is_not_put_in_twice(lanes: Lanes, worker: Worker, state: str) -> None:
    [job] = lanes.submit(1)
    if state != "queued":
        [lease] = worker.take(1)
    if state == "scheduled":
        worker.failed(lease, delay_s=60)
    assert lanes.queues.enqueue([job], lane=LANE, batch_id="b2") == 0
    assert lanes.queues.unknown([job, "other"]) == ["other"]
    assert lanes.redis.llen(f"rq:queue:{queue_name(LANE, 'b2')}") == 0


@pytest.mark.parametrize("to", ["finished", "failed"])
def test_a_job_that_has_ended_can_be_put_in_again_and_is_no_longer_shown_as_ended(
    lanes: Lanes, worker: Worker, to: str
) -> None:
    [job] = lanes.submit(1)
    worker.settle(worker.take(1), verdict="ok", to=to, error="HTTP 500")
    assert lanes.queues.unknown([job]) == [job]
    assert lanes.queues.enqueue([job], lane=LANE, batch_id="b1") == 1
    assert rq_view(lanes) == {"queued": [job], "started": [], "scheduled": [], "finished": [], "failed": []}
    assert rq_job(lanes, job).get_status() == JobStatus.QUEUED


def test_a_new_job_wakes_the_workers_and_one_that_was_there_does_not(lanes: Lanes) -> None:
    with lanes.redis.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(WAKE_CHANNEL)
        assert listener.get_message(timeout=5) is not None
        job_ids = lanes.submit(1)
        message = listener.get_message(timeout=5)
        assert message is not None
        assert message["data"] == LANE.encode()
        lanes.queues.enqueue(job_ids, lane=LANE, batch_id="b1")
        assert listener.get_message(timeout=0.05) is None


def test_what_people_pause_limit_or_resume_wakes_the_workers_and_what_is_known_does_not(lanes: Lanes) -> None:
    with lanes.redis.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(WAKE_CHANNEL)
        assert listener.get_message(timeout=5) is not None
        newer = replace(NO_CONTROLS, version=2)
        lanes.queues.set_controls(newer)
        assert listener.get_message(timeout=5) is not None
        lanes.queues.set_controls(newer)
        assert listener.get_message(timeout=0.05) is None
        lanes.gates.resume([])
        assert listener.get_message(timeout=5) is not None


def test_putting_in_nothing_leaves_nothing_behind(lanes: Lanes) -> None:
    job_ids = lanes.submit(1)
    before = sorted(lanes.redis.scan_iter())
    assert lanes.queues.enqueue([], lane=OTHER_LANE, batch_id="b2", priority="high") == 0
    assert lanes.queues.enqueue(job_ids, lane=LANE, batch_id="b2", priority="low") == 0
    assert sorted(lanes.redis.scan_iter()) == before


# Taking out ---------------------------------------------------------------------------------------------


def test_a_canceled_batch_is_dropped_whole_waiting_and_delayed_and_the_others_stay(
    lanes: Lanes, worker: Worker
) -> None:
    job_ids = lanes.submit(2500)
    lanes.submit(3, "b2", priority="low")
    running, delayed = worker.take(2)
    worker.failed(delayed, delay_s=60)
    assert lanes.queues.drop(lane=LANE, batch_id="b1") == 2499
    assert sorted(lanes.queues.unknown(job_ids)) == sorted(set(job_ids) - {running.job})
    assert lanes.queues.depths([LANE]) == [Depth(lane=LANE, queued=3, scheduled=0, started=1)]
    worker.answered(running)
    assert rq_queues(lanes) == [queue_name(LANE, "b2")]
    assert lanes.queues.drop(lane=LANE, batch_id="b1") == 0


def test_dead_batches_leave_nothing_that_any_reader_has_to_walk_over(lanes: Lanes, worker: Worker) -> None:
    for number in range(20):
        lanes.submit(2, f"b{number}", priority="high" if number % 2 else "normal")
    while leases := worker.take(7):
        worker.answered(*leases)
    assert rq_queues(lanes) == []
    assert lanes.queues.lanes() == []
    assert lanes.redis.keys("chartq:ring:*") == []
    assert not lanes.redis.exists("chartq:priorities", "chartq:leases")
    assert lanes.redis.keys("chartq:permits:*") == []
    assert lanes.redis.keys("rq:execution*") == []


def test_what_an_ended_job_leaves_behind_goes_away_by_itself(lanes: Lanes, worker: Worker) -> None:
    finished, failed = lanes.submit(2)
    first, second = worker.take(2)
    worker.settle([first], verdict="ok", to="finished")
    worker.settle([second], verdict="ok", to="failed", error="HTTP 400")
    for key in (f"rq:job:{finished}", f"rq:job:{failed}", f"rq:finished:{QUEUE}", f"rq:failed:{QUEUE}"):
        assert lanes.redis.ttl(key) > 0, key
    assert lanes.redis.ttl(f"rq:failed:{QUEUE}") > 12 * 3600 > lanes.redis.ttl(f"rq:finished:{QUEUE}")
    [third] = lanes.submit(1)
    lanes.clock.pass_s(3600)
    worker.answered(*worker.take(1))
    assert lanes.redis.zrange(f"rq:finished:{QUEUE}", 0, -1) == [third.encode()], "it doesn't grow for ever"


def test_the_depth_of_a_lane_is_that_of_all_its_batches_to_the_last_job(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3, "b1")
    lanes.submit(3, "b2")
    leases = worker.take(4)
    worker.failed(leases[0], delay_s=60)
    lanes.redis.hset("chartq:beyond", QUEUE, 5)  # they wait in the ledger alone
    [depth, nothing] = lanes.queues.depths([LANE, OTHER_LANE])
    assert (depth.queued, depth.scheduled, depth.started) == (2 + 5, 1, 3)
    assert (nothing.queued, nothing.scheduled, nothing.started) == (0, 0, 0)


def test_jobs_in_flight_are_counted_when_nothing_waits_any_more(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    first, *_ = worker.take(5)
    worker.answered(first)
    assert lanes.queues.depths([LANE]) == [Depth(lane=LANE, queued=0, scheduled=0, started=2)]


def test_redis_knows_since_when_it_remembers_us(lanes: Lanes) -> None:
    before = lanes.queues.known_since_s()
    assert lanes.queues.known_since_s() == before
    lanes.redis.flushall()
    assert lanes.queues.known_since_s() >= before


# What RQ's own readers see ------------------------------------------------------------------------------


def test_rq_sees_a_queued_job(lanes: Lanes) -> None:
    [job] = lanes.submit(1)
    seen = rq_job(lanes, job)
    assert seen.get_status() == JobStatus.QUEUED
    assert (seen.func_name, seen.args, seen.kwargs, seen.origin) == (TASK, [job], {}, QUEUE)
    assert isinstance(seen.created_at, datetime)
    assert isinstance(seen.enqueued_at, datetime)
    assert rq_queues(lanes) == [QUEUE]
    assert rq_queue(lanes).count == 1
    assert rq_view(lanes) == {"queued": [job], "started": [], "scheduled": [], "finished": [], "failed": []}


def test_rq_sees_a_started_job_its_worker_and_its_execution(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    [lease] = worker.take(1)
    seen = rq_job(lanes, job)
    assert seen.get_status() == JobStatus.STARTED
    assert seen.worker_name == worker.name
    assert isinstance(seen.started_at, datetime)
    assert isinstance(seen.last_heartbeat, datetime)
    execution = Execution.fetch(lease.execution, job, connection=lanes.redis)
    assert (execution.job_id, execution.worker_name) == (job, worker.name)
    assert [found.id for found in seen.get_executions()] == [lease.execution]
    assert rq_view(lanes) == {"queued": [], "started": [job], "scheduled": [], "finished": [], "failed": []}
    assert rq_queues(lanes) == [QUEUE]


def test_rq_does_not_fail_a_job_whose_worker_is_alive(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    worker.take(1)
    lanes.clock.pass_s(100)
    worker.heartbeat()
    StartedJobRegistry(queue=rq_queue(lanes)).cleanup(timestamp=lanes.clock.now_ms / 1000 + 100)
    assert rq_job(lanes, job).get_status() == JobStatus.STARTED


def test_rq_sees_a_delayed_job_and_when_it_is_due(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    worker.failed(worker.take(1)[0], delay_s=90)
    assert rq_job(lanes, job).get_status() == JobStatus.SCHEDULED
    assert rq_view(lanes) == {"queued": [], "started": [], "scheduled": [job], "finished": [], "failed": []}
    due = scheduled_registry(lanes).get_scheduled_time(job).timestamp()
    assert due == pytest.approx(lanes.clock.now_ms / 1000 + 90, abs=1)


def test_rq_sees_a_finished_job(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    worker.answered(*worker.take(1))
    seen = rq_job(lanes, job)
    assert seen.get_status() == JobStatus.FINISHED
    assert isinstance(seen.ended_at, datetime)
    assert seen.get_executions() == []
    assert rq_view(lanes) == {"queued": [], "started": [], "scheduled": [], "finished": [job], "failed": []}


def test_rq_sees_a_failed_job_and_why(lanes: Lanes, worker: Worker) -> None:
    [job] = lanes.submit(1)
    worker.settle(worker.take(1), verdict="ok", to="failed", error="The image is too big")
    seen = rq_job(lanes, job)
    assert seen.get_status() == JobStatus.FAILED
    assert lanes.redis.hget(f"rq:job:{job}", "exc_info") == b"The image is too big"
    assert rq_view(lanes) == {"queued": [], "started": [], "scheduled": [], "finished": [], "failed": [job]}


def test_rq_counts_what_a_worker_has_done(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(3)
    worker.settle(worker.take(2), verdict="ok", to="finished", took_s=1.5)
    worker.settle(worker.take(1), verdict="ok", to="failed", took_s=0.5)
    record = lanes.redis.hgetall(f"rq:worker:{worker.name}")
    assert (record[b"successful_job_count"], record[b"failed_job_count"]) == (b"2", b"1")
    assert float(record[b"total_working_time"]) == pytest.approx(3.5)


def test_rq_sees_whether_a_worker_is_busy(lanes: Lanes, worker: Worker) -> None:
    lanes.submit(1)
    leases = worker.take(1)
    assert lanes.redis.hget(f"rq:worker:{worker.name}", "state") == b"busy"
    worker.answered(*leases)
    assert lanes.redis.hget(f"rq:worker:{worker.name}", "state") == b"idle"


# Memory -------------------------------------------------------------------------------------------------


def test_a_queued_job_takes_at_most_a_kilobyte(lanes: Lanes) -> None:
    job_ids = [f"{number:064x}" for number in range(10_000)]
    before = int(lanes.redis.info("memory")["used_memory"])
    assert lanes.queues.enqueue(job_ids, lane=LANE, batch_id="b1") == 10_000
    used = int(lanes.redis.info("memory")["used_memory"]) - before
    assert used / len(job_ids) <= 1000
    assert lanes.queues.drop(lane=LANE, batch_id="b1") == 10_000
