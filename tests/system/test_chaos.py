"""The chaos run in small, as every test run has it, and proofs that its checks see what they look for."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chaos import promises
from chaos.crew import Execution, Line, Weight, Worker
from chaos.plan import FAULTS, WISHES, drawn
from chaos.promises import Row
from chaos.provider import Asking
from chaos.run import run
from chaos.scene import Plan
from chaos.stranger import Visit
from chaos.users import Order
from chaos.watch import wrong_sum
from support.stack import Finished

from jobs.ledger import Counts
from worker.rehearsal import Call
from worker.rehearsal.behaviour import Fault

LINUX = Path("/proc/self/statm").exists()

KEY = ("sha", "Up?")


@pytest.mark.skipif(not LINUX, reason="the chaos run reads /proc")
@pytest.mark.timeout(600)
def test_a_short_chaos_run_keeps_every_promise(tmp_path: Path) -> None:
    report = run(Plan(seed=1, finish_within_s=400), tmp_path)
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
    finished_at=11.0,
)


def asking(number: int, *, outcome: int | str = "answer", key: tuple[str, str] = KEY) -> Asking:
    call = Call(
        at=10.0,
        path="/",
        model="m",
        prompt=key[1],
        image_count=1,
        image_urls=[],
        image_sha256=key[0],
        image_size=None,
        image_format=None,
        concurrent=1,
        token_fingerprint="ours",
        headers={"x-amzn-trace-id": f"e{number}"},
        body={},
        outcome=outcome,
        status=200 if outcome == "answer" else 500,
        ended_at=11.0,
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
    assert promises.all_ended([row], poison={"bad"}, canceled={"gone"}).holds is holds


@pytest.mark.parametrize(
    ("fault", "attempts", "error", "holds"),
    [
        (500, 3, "HFServerError: 500", True),
        (500, 2, "HFServerError: 500", False),
        (500, 3, "WorkerLost: three times", False),
        (422, 1, "HFRequestError: 422", True),
    ],
)
def test_poison_that_failed_too_soon_or_by_something_else_is_seen(
    fault: Fault, attempts: int, error: str, holds: bool
) -> None:
    row = replace(ROW, status="failed", attempts=attempts, error=error)
    assert promises.poison_spent([row], [asking(1)], {"sha": fault}, max_attempts=3).holds is holds
    elsewhere = replace(ROW, batch_id="another", status="canceled")
    spent = promises.poison_spent([row, elsewhere], [asking(1)], {"sha": fault}, max_attempts=3)
    assert spent.holds is (holds or error.startswith("HF"))


@pytest.mark.parametrize(
    ("code", "said", "holds"),
    [
        (1, "chartq: this Redis is in use by ours; theirs is another", True),
        (1, "chartq: Redis at unix:///s: it is loading its data", True),
        (0, "submitted to ours, theirs", False),
        (1, "Traceback of ours and theirs", False),
        (1, "chartq: this Redis has jobs of another project", False),
    ],
)
def test_a_stranger_that_is_let_in_or_told_something_else_is_seen(code: int, said: str, holds: bool) -> None:
    visit = Visit(["submit"], Finished(code, "", said))
    assert promises.stranger_refused([visit], labels=["ours", "theirs"]).holds is holds


@pytest.mark.parametrize(
    ("fingerprint", "after", "left_in_redis", "holds"),
    [
        ("theirs", Counts(total=5, queued=5), 0, True),
        ("ours", Counts(total=5, queued=5), 0, False),
        ("theirs", Counts(total=5, queued=4, finished=1), 0, False),
        ("theirs", Counts(total=5, queued=5), 1, False),
    ],
)
def test_a_stranger_that_asked_lost_or_left_something_is_seen(
    fingerprint: str, after: Counts, left_in_redis: int, holds: bool
) -> None:
    before = [Counts(total=5, queued=5)]
    found = promises.stranger_kept_out(
        [asking(1)], fingerprint=fingerprint, before=before, after=[after], left_in_redis=left_in_redis
    )
    assert found.holds is holds


def test_a_worker_with_a_wrong_clock_is_read_by_the_right_one() -> None:
    line = {"ts": "2026-11-22T10:10:00.000+00:00", "level": "INFO", "message": "m", "event": "e"}
    program: Any = SimpleNamespace(said=json.dumps(line), returncode=0)
    [read] = Worker(program, 0.0, wrong_s=600).lines()
    assert isinstance(read, Line)
    assert datetime.fromtimestamp(read.at, UTC) == datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(("finished_at", "holds"), [(11.0, True), (611.0, False), (-589.0, False)])
def test_an_answer_that_a_wrong_clock_has_dated_is_seen(finished_at: float, holds: bool) -> None:
    assert promises.dated_right([replace(ROW, finished_at=finished_at)], [asking(1)]).holds is holds


@pytest.mark.parametrize(
    ("files", "holds"),
    [([25] * 100 + [16] * 100 + [25] * 100, True), ([16 + second // 20 for second in range(300)], False)],
)
def test_descriptors_that_pile_up_are_seen_and_those_of_a_busy_time_are_not(files: list[int], holds: bool) -> None:
    program: Any = SimpleNamespace(log="worker.log")
    worker = Worker(program, 0.0, weights=[Weight(second, 60_000_000, count, 9) for second, count in enumerate(files)])
    assert promises.weights_flat([worker], in_flight=8).holds is holds


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
    assert promises.attempts_earned([replace(ROW, attempts=attempts)], calls, {}).holds is holds


@pytest.mark.parametrize(
    ("hurt_at", "written_at", "holds"), [([10.5], 20.0, True), ([10.5], None, False), ([], 20.0, False)]
)
def test_an_attempt_that_a_frozen_worker_counted_is_its_own(
    hurt_at: list[float], written_at: float | None, holds: bool
) -> None:
    told = {"e1": execution(hurt_at, written_at=written_at)}
    calls = [asking(1), asking(2)]
    assert promises.attempts_earned([replace(ROW, attempts=2)], calls, told).holds is holds


def test_counts_that_make_no_total_are_seen() -> None:
    counts = {"total": 3, "queued": 1, "started": 0, "scheduled": 0, "finished": 2, "failed": 0, "canceled": 0}
    assert wrong_sum({"batch_id": "b", "request_counts": counts}) is None
    assert wrong_sum({"batch_id": "b", "request_counts": counts | {"queued": 0}})
