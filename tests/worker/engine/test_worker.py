"""The loop, within the test's process: what it takes, and when."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from support.producer import producer_in
from support.stack import PATIENCE_S, draw_charts

from jobs.core.job import Question
from jobs.ledger import StartedJob
from worker.engine.execute import ExecutionResult
from worker.engine.factory import build_worker
from worker.engine.policy import Done
from worker.hf.replies import Answer


class SlowPictures:
    """Stands in for `worker.engine.execute.Task`: pictures are ready when the test says so, answers at once."""

    def __init__(self) -> None:
        self.begun: SimpleQueue[threading.Event] = SimpleQueue()

    def perform(
        self, _job: StartedJob, _question: Question, *, suspect: bool, ready: Callable[[], object]
    ) -> ExecutionResult:
        picture = threading.Event()
        self.begun.put(picture)
        assert picture.wait(PATIENCE_S)
        ready()
        return ExecutionResult(outcome=Done(), answer=Answer(text="Up.", raw={}), called=True)


@pytest.mark.parametrize(("budget", "at_once"), [("600/m", 4), (None, 12)])
def test_with_a_budget_few_jobs_are_taken_before_their_pictures_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str | None, at_once: int
) -> None:
    """A permit counts from when it is given. A hundred that wait for their pictures would meet the next hundred."""
    with producer_in(tmp_path, monkeypatch) as user:
        monkeypatch.setenv("HF_TOKEN", "hf_x")
        if budget:
            monkeypatch.setenv("HF_RATE_LIMIT", budget)
        batch_id = user.submit(draw_charts(tmp_path / "charts", 20))["batch_id"]
        with user.session() as session:
            task = SlowPictures()
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
        assert user.status(batch_id)["request_counts"]["finished"] == 20
