"""The loop, within the test's process: what it takes, and when."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from support.lanes import LANE, Lanes
from support.producer import producer_in
from support.stack import PATIENCE_S, draw_charts, eventually
from support.stores import id_of, submit

from jobs.core.clock import Clock
from jobs.core.controls import EVERYTHING
from jobs.core.errors import ImageError
from jobs.core.job import Question
from jobs.core.rates import RateLimits
from jobs.ledger import Ledger, StartedJob
from worker.engine.execute import ExecutionResult, Task
from worker.engine.factory import build_worker
from worker.engine.in_hand import LONGEST_S, LOOK_EVERY_S
from worker.engine.lane_client import LaneClient
from worker.engine.policy import Done, Refused, Transient
from worker.engine.worker import ChartWorker
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig
from worker.hf.errors import HFServerError
from worker.hf.replies import Answer


class SlowPictures:
    """Stands in for `worker.engine.execute.Task`: pictures are ready, and calls answered, when the test says so."""

    def __init__(self, *, until: str) -> None:
        self.begun: SimpleQueue[threading.Event] = SimpleQueue()
        self._until = until

    def perform(
        self, _job: StartedJob, _question: Question, *, suspect: bool, ready: Callable[[], object]
    ) -> ExecutionResult:
        if self._until == "answered":
            ready()
        told = threading.Event()
        self.begun.put(told)
        assert told.wait(PATIENCE_S)
        if self._until == "broken":
            return ExecutionResult(outcome=Refused(), error=ImageError("no picture"))
        ready()
        return ExecutionResult(outcome=Done(), answer=Answer(text="Up.", raw={}), called=True)


@pytest.mark.parametrize(
    ("budget", "until", "at_once"),
    [
        ("600/m", "ready", 4),
        ("600/m", "broken", 4),  # what can't be read is never ready, and keeps no place
        ("600/m", "answered", 12),  # a call in flight keeps none
        (None, "ready", 12),
    ],
)
def test_with_a_budget_few_jobs_are_taken_before_their_pictures_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str | None, until: str, at_once: int
) -> None:
    """A permit counts from when it is given. A hundred that wait for their pictures would meet the next hundred."""
    with producer_in(tmp_path, monkeypatch) as user:
        monkeypatch.setenv("HF_TOKEN", "hf_x")
        if budget:
            monkeypatch.setenv("HF_RATE_LIMIT", budget)
        batch_id = user.submit(draw_charts(tmp_path / "charts", 20))["batch_id"]
        with user.session() as session:
            task = SlowPictures(until=until)
            worker: Any = build_worker(session, concurrency=12, grace_s=5)
            worker._task = task
            thread = threading.Thread(target=lambda: worker.run(burst=True), daemon=True)
            thread.start()
            task.begun.get(timeout=PATIENCE_S).set()  # of a new account: it goes alone until it is answered
            waiting = [task.begun.get(timeout=PATIENCE_S) for _ in range(at_once)]
            with pytest.raises(Empty):
                task.begun.get(timeout=0.2)
            for _ in range(20 - 1 - at_once):
                waiting.pop(0).set()
                waiting.append(task.begun.get(timeout=PATIENCE_S))
            for picture in waiting:
                picture.set()
            thread.join(PATIENCE_S)
        assert user.status(batch_id)["request_counts"]["failed" if until == "broken" else "finished"] == 20


# What waits in hand ---------------------------------------------------------------------------------------

CHARTS = [str(number) for number in range(400)]
THREADS = 50

#: Calls that are answered at once, so that the worker has jobs in hand. Those after them wait.
QUICK = 100

ANSWERED = ExecutionResult(
    outcome=Done(),
    answer=Answer(text="up", raw={}, prompt_tokens=1, completion_tokens=1, request_id=None, provider=None),
    called=True,
    latency_s=0.1,
)
FAILED = ExecutionResult(
    outcome=Transient(600.0, last=False), error=HFServerError("HTTP 500", status_code=500), called=True, latency_s=0.1
)


@dataclass(frozen=True, kw_only=True)
class Calls(Task):
    """No provider: each call ends when the test says so."""

    begun: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))  # each is told to one thread
    fail_one: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: threading.Event = field(default_factory=threading.Event)

    def perform(
        self, job: StartedJob, question: Question, *, suspect: bool = False, ready: Callable[[], object] = lambda: None
    ) -> ExecutionResult:
        ready()
        self.begun.append(job.job_id)
        if next(self.numbers) <= QUICK:
            return ANSWERED
        while not self.over.wait(0.01):
            if self.fail_one.acquire(blocking=False):
                return FAILED
        return ANSWERED


class StoppedClock(Clock):
    """Its seconds pass when the test looks."""

    now_s, passing_s = 1000.0, 0.0

    def steady(self) -> float:
        return self.now_s


@contextmanager
def at_work(lanes: Lanes, ledger: Ledger, calls: Calls, clock: Clock) -> Iterator[None]:
    worker = ChartWorker(
        connection=lanes.redis,
        ledger=ledger,
        task=calls,
        lane_client_for=lambda name: LaneClient(
            lanes.redis,
            worker=name,
            accounts={"chat": "account"},
            limits=RateLimits(),
            ceiling=None,
            controls=ledger.controls,
        ),
        concurrency=THREADS,
        clock=clock,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        calls.over.set()
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("against", ["it waits too long", "a call failed", "everything is paused"])
def test_what_waits_in_hand_goes_back_when_something_speaks_against_it(
    lanes: Lanes, ledger: Ledger, against: str
) -> None:
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue([id_of(chart) for chart in CHARTS], lane=LANE, batch_id=batch.batch_id)
    clock = StoppedClock()

    def in_hand() -> int:
        clock.now_s += clock.passing_s
        counts = ledger.counts(batch, recent_since=0)
        return max(0, counts.started - THREADS) if counts.finished == QUICK else -1

    with HuggingFaceClient(HFConfig(api_key=None, base_url="http://127.0.0.1:9")) as client:
        calls = Calls(client=client, chart_root=None, timeout_s=1, text_timeout_s=1, max_attempts=3, retry_delay_s=1)
        with at_work(lanes, ledger, calls, clock):
            eventually(lambda: in_hand() > 0)
            if against == "a call failed":
                calls.fail_one.release()
            elif against == "everything is paused":
                ledger.pause(EVERYTHING, by="ann", now=lanes.queues.now(), until=None)
                lanes.queues.set_controls(ledger.controls())
            else:
                clock.passing_s = LONGEST_S + 0.1
            eventually(lambda: in_hand() == 0)
            assert len(calls.begun) <= QUICK + THREADS + 1
    rows = [ledger.job(id_of(chart)) for chart in CHARTS]
    assert {row.shown.attempts for row in rows} == {0, 1}
    assert sum(row.shown.attempts for row in rows) == len(calls.begun)


def test_while_the_loop_waits_for_redis_no_thread_begins_what_has_waited_too_long(lanes: Lanes, ledger: Ledger) -> None:
    batch = submit(ledger, CHARTS, now=1)
    lanes.queues.enqueue([id_of(chart) for chart in CHARTS], lane=LANE, batch_id=batch.batch_id)
    clock = StoppedClock()
    with HuggingFaceClient(HFConfig(api_key=None, base_url="http://127.0.0.1:9")) as client:
        calls = Calls(client=client, chart_root=None, timeout_s=1, text_timeout_s=1, max_attempts=3, retry_delay_s=1)
        with at_work(lanes, ledger, calls, clock):
            eventually(lambda: ledger.counts(batch, recent_since=0).finished == QUICK)
            eventually(lambda: ledger.counts(batch, recent_since=0).started > THREADS)
            eventually(lambda: len(calls.begun) == QUICK + THREADS)
            begun = len(calls.begun)
            lanes.redis.client_pause(3000)
            time.sleep(3 * LOOK_EVERY_S)  # it looks meanwhile
            clock.now_s += LONGEST_S + 0.1
            calls.fail_one.release()
            time.sleep(0.5)
            assert len(calls.begun) == begun
