"""Jobs in hand: as many as the calls that end in a round of the loop, while all is well, and they can be had back."""

import threading

import pytest
from support.stack import PATIENCE_S

from worker.engine.in_hand import InHand
from worker.engine.policy import Done, Outcome, Refused, Throttled
from worker.engine.threads import ThreadPool

DONE: Outcome = Done()


@pytest.mark.parametrize(
    ("rounds", "now", "threads", "wanted"),
    [
        ([], 0.0, 100, 0),
        ([(0.0, 7), (0.1, 5), (0.2, 6)], 0.2, 100, 7),  # the busiest round
        ([(0.0, 80), (0.9, 20)], 0.9, 100, 50),  # half the threads
        ([(0.0, 80), (0.9, 20)], 1.1, 100, 10),  # the first is forgotten; and half of what ends in a second
        ([(0.0, 1)], 0.1, 100, 0),  # slow answers: it would wait for long
        ([(0.0, 1), (0.5, 1)], 0.6, 100, 1),
        ([(0.0, 9)], 0.0, 50, 4),
        ([(0.0, 9)], 0.0, 49, 0),  # few threads
        ([(0.0, 9)], 1.0, 100, 0),
    ],
)
def test_as_many_are_wanted_as_soon_begin(
    rounds: list[tuple[float, int]], now: float, threads: int, wanted: int
) -> None:
    in_hand = InHand()
    for at_s, answers in rounds:
        assert in_hand.hear([DONE] * answers, at_s)
    in_hand.hear([], now)
    assert in_hand.wanted(threads) == wanted


@pytest.mark.parametrize("bad", [Throttled(), Refused()])
def test_after_anything_but_an_answer_none_are_wanted_until_answers_come_again(bad: Outcome) -> None:
    in_hand = InHand()
    in_hand.hear([DONE] * 9, 0.0)
    assert not in_hand.hear([DONE, bad], 0.1)
    assert in_hand.wanted(100) == 0
    in_hand.hear([DONE] * 4, 0.2)
    assert in_hand.wanted(100) == 2


def test_what_no_thread_has_begun_can_be_had_back_and_nothing_else() -> None:
    began, go, done = threading.Semaphore(0), threading.Event(), []

    def perform(number: int) -> None:
        began.release()
        go.wait(30)
        done.append(number)

    pool = ThreadPool(2, perform)
    for number in range(5):
        pool.submit(number)
    assert began.acquire(timeout=PATIENCE_S)
    assert began.acquire(timeout=PATIENCE_S)
    assert pool.waiting() == [2, 3, 4]
    assert pool.recall(lambda number: number != 3) == [4, 2]
    assert pool.waiting() == [3]
    assert pool.recall(lambda _: False) == []
    pool.submit(5)
    go.set()
    assert began.acquire(timeout=PATIENCE_S)
    assert began.acquire(timeout=PATIENCE_S)
    pool.close()
    for thread in pool._threads:
        thread.join(30)
    assert sorted(done) == [0, 1, 3, 5]
