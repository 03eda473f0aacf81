"""The chaos run in small, as every test run has it, and proofs that its checks see what they look for."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chaos import promises
from chaos.crew import Execution, Worker
from chaos.plan import FAULTS, WISHES, drawn
from chaos.promises import Row
from chaos.provider import Asking
from chaos.run import run
from chaos.scene import Plan
from chaos.users import Order
from chaos.watch import wrong_sum

from worker.rehearsal import Call

LINUX = Path("/proc/self/statm").exists()

KEY = ("sha", "Up?")


@pytest.mark.skipif(not LINUX, reason="the chaos run reads /proc")
@pytest.mark.timeout(480)
def test_a_short_chaos_run_keeps_every_promise(tmp_path: Path) -> None:
    report = run(Plan(seed=1, finish_within_s=200), tmp_path)
    assert report.holds, report.text()


def test_a_seed_gives_the_same_run_and_every_fault_and_wish_comes() -> None:
    plan = {"seconds": 60.0, "fault_every_s": 2.0, "wish_every_s": 2.0}
    assert drawn(7, **plan) == drawn(7, **plan) != drawn(8, **plan)
    events = drawn(7, **plan)
    assert {event.what for event in events} == {*FAULTS, *WISHES}
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert all(low <= event.lasts_s <= high for event in events for low, high in [FAULTS.get(event.what, (0, 0))])


# What the checks see ------------------------------------------------------------------------------------

ROW = Row(
    batch_id="b",
    job_id="j",
    key=KEY,
    status="finished",
    attempts=1,
    throttled=0,
    error=None,
    raw={"id": "chatcmpl-rehearsal-1"},
)


def asking(number: int, *, outcome: int | str = "answer", key: tuple[str, str] = KEY, at: float = 10.0) -> Asking:
    call = Call(
        at=at,
        path="/",
        model="m",
        prompt=key[1],
        image_count=1,
        image_urls=[],
        image_sha256=key[0],
        image_size=None,
        image_format=None,
        concurrent=1,
        token_fingerprint=None,
        headers={"x-amzn-trace-id": f"e{number}"},
        body={},
        outcome=outcome,
        status=200 if outcome == "answer" else 500,
        ended_at=at + 1,
    )
    return Asking(number, call)


def execution(hurt_at: list[float], *, written_at: float | None) -> Execution:
    program: Any = SimpleNamespace(log="worker.log")
    return Execution(Worker(program, 0.0, hurt_at), "j", 10.0, written_at)


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (ROW, True),
        (replace(ROW, status="started"), False),
        (replace(ROW, status="failed"), False),
        (replace(ROW, status="failed", key=("bad", "Up?")), True),
        (replace(ROW, key=("bad", "Up?")), False),
        (replace(ROW, status="canceled"), False),
        (replace(ROW, status="canceled", batch_id="gone"), True),
    ],
)
def test_a_job_that_is_open_or_ended_otherwise_than_it_should_is_seen(row: Row, holds: bool) -> None:
    assert promises.all_ended([row], refused={"bad"}, canceled={"gone"}).holds is holds


def test_a_missing_chart_is_seen() -> None:
    assert promises.nothing_missing([ROW], [Order("b", frozenset({"sha"}))]).holds
    assert not promises.nothing_missing([ROW], [Order("b", frozenset({"sha", "other"}))]).holds


@pytest.mark.parametrize(
    ("rows", "calls", "holds"),
    [
        ([ROW], [asking(1)], True),
        ([ROW, replace(ROW, batch_id="c")], [asking(1)], True),
        ([ROW], [], False),
        ([ROW], [asking(1, key=("other", "Up?"))], False),
        ([ROW], [asking(1, outcome=500)], False),
        ([ROW, replace(ROW, raw={"id": "chatcmpl-rehearsal-2"})], [asking(1), asking(2)], False),
    ],
)
def test_an_answer_of_another_call_and_two_answers_are_seen(rows: list[Row], calls: list[Asking], holds: bool) -> None:
    assert promises.one_answer(rows, calls).holds is holds


@pytest.mark.parametrize(
    ("hurt_at", "written_at", "holds"),
    [([], None, False), ([10.5], None, True), ([10.5], 20.0, True), ([20.5], 20.0, False), ([9.0], None, False)],
)
def test_a_repeat_without_a_hurt_is_seen(hurt_at: list[float], written_at: float | None, holds: bool) -> None:
    kept = replace(ROW, raw={"id": "chatcmpl-rehearsal-2"})
    told = {"e1": execution(hurt_at, written_at=written_at)}
    assert promises.repeats_explained([kept], [asking(1), asking(2)], told, timeout_s=9).holds is holds


@pytest.mark.parametrize(
    ("attempts", "outcomes", "holds"),
    [(1, [], True), (2, [], False), (2, [500], True), (2, [429], False), (3, [500, "drop"], True)],
)
def test_an_attempt_that_no_failed_call_explains_is_seen(attempts: int, outcomes: list[int | str], holds: bool) -> None:
    calls = [asking(number, outcome=outcome) for number, outcome in enumerate([*outcomes, "answer"], start=1)]
    assert promises.attempts_earned([replace(ROW, attempts=attempts)], calls).holds is holds


def test_counts_that_make_no_total_are_seen() -> None:
    counts = {"total": 3, "queued": 1, "started": 0, "scheduled": 0, "finished": 2, "failed": 0, "canceled": 0}
    assert wrong_sum({"batch_id": "b", "request_counts": counts}) is None
    assert wrong_sum({"batch_id": "b", "request_counts": counts | {"queued": 0}})
