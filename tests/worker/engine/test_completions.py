"""Answers are settled in company where that costs next to nothing, and refusals are heard at once."""

import threading
import time

import pytest
from support.executions import ending

from worker.engine.completions import Completions, batching_delay_s
from worker.engine.policy import Done, Outcome, Throttled
from worker.engine.settlement import FinishedExecution


def after(latency_s: float, outcome: Outcome | None = None) -> FinishedExecution:
    return ending(outcome or Done(), latency_s=latency_s)


@pytest.mark.parametrize(
    ("endings", "in_flight", "in_hand", "pause_s"),
    [
        ([], 100, 0, 0.0),
        ([after(1.0)], 100, 0, 0.01),
        ([after(1.0), after(0.3)], 100, 0, 0.003),  # a hundredth of the quickest
        ([after(60.0)], 100, 0, 0.05),  # never more
        ([after(0.0)], 100, 0, 0.0),
        ([after(1.0)], 1, 0, 0.0),  # nobody else can come
        ([after(1.0), after(1.0)], 2, 0, 0.0),
        ([after(1.0), after(1.0, Throttled())], 100, 5, 0.0),  # the gate has to know
        ([after(0.3)], 100, 5, 0.015),  # threads go on meanwhile
        ([after(60.0)], 100, 5, 0.05),
        ([after(1.0)] * 5, 100, 5, 0.0),  # until none is left in hand
    ],
)
def test_an_answer_waits_a_hundredth_of_its_call_for_others_and_longer_while_there_are_jobs_in_hand(
    endings: list[FinishedExecution], in_flight: int, in_hand: int, pause_s: float
) -> None:
    assert batching_delay_s(endings, in_flight=in_flight, in_hand=in_hand) == pytest.approx(pause_s)


def test_what_ends_meanwhile_is_settled_in_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Completions()
    paused_s: list[float] = []

    def another_ends(seconds: float) -> None:
        paused_s.append(seconds)
        told.put(after(2.0))

    monkeypatch.setattr("worker.engine.completions.time.sleep", another_ends)
    told.put(after(1.0))
    assert [one.ended.latency_s for one in told.wait(10.0, in_flight=5)] == [1.0, 2.0]
    assert paused_s == [pytest.approx(0.01)]


def test_a_wait_ends_when_it_is_woken_or_its_time_is_up() -> None:
    told = Completions()
    threading.Timer(0.05, told.wake).start()
    began = time.monotonic()
    assert told.wait(60.0, in_flight=5) == []
    assert told.wait(0.01, in_flight=5) == told.wait(0.0, in_flight=5) == []
    assert time.monotonic() - began < 30
