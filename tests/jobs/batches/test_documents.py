"""The contract's JSON documents: their shapes, and where a batch stands in every state of jobs and gates."""

import dataclasses
from functools import partial
from typing import Any

import pytest
from support.gates import gate as gate_at_0

from jobs.batches.documents import batch_document, job_document, result_document
from jobs.batches.follow import exit_code, summary
from jobs.batches.shapes import BatchDocument
from jobs.core.job import Question
from jobs.core.time_text import duration, iso
from jobs.lanes import Gate
from jobs.ledger import Batch, Counts, Hold, JobRow, ResultRow

QUESTION = Question(prompt="Up?", model="org/model")
NOW = 1_000_000.0


def batch(**changes: Any) -> Batch:
    values: dict[str, Any] = {
        "id": 1,
        "batch_id": "b1",
        "name": None,
        "question": QUESTION,
        "fingerprint": "f",
        "priority": "normal",
        "total": None,
        "created_at": NOW - 100,
        "sealed_at": NOW - 99,
        "canceled_at": None,
        "hold": None,
        "sources": (),
    }
    return Batch(**{**values, **changes})


def counts(**states: int) -> Counts:
    return Counts(total=sum(states.values()), **states)


gate = partial(gate_at_0, lane=QUESTION.lane, now_s=NOW)
HELD = gate(reason="credits", message="no credits left", since_s=NOW - 50)
HELD_LATER = gate(reason="token", message="the token is unknown", since_s=NOW - 5)
CLOSED = gate(until_s=NOW + 30, why="throttled")


def document(one: Batch, states: Counts, *gates: Gate) -> BatchDocument:
    return batch_document(one, states, gates, now=NOW)


def row(**changes: Any) -> ResultRow:
    values: dict[str, Any] = dict.fromkeys(ResultRow._fields, None)
    values |= {"job_id": "ab", "stored_image": "/x.png", "status": "finished", "attempts": 1, "throttled": 0}
    values |= {"rehearsal": False, "model": "org/model", "prompt": "Up?", "custom_id": "x.png"}
    return ResultRow(**{**values, **changes})


def job(shown: ResultRow) -> JobRow:
    values: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(JobRow)), None)
    return JobRow(**{**values, "shown": shown, "question": QUESTION, "custom_id": "x.png", "created_at": NOW})


def test_a_batchs_document_has_the_contracts_shape() -> None:
    made = document(batch(name="mine"), counts(queued=1, started=2, scheduled=3, finished=4, failed=5, canceled=6))
    assert list(made) == [
        *("batch_id", "name", "model", "status", "request_counts", "hold", "resume_at", "eta_s", "usage"),
        *("created_at", "finished_at", "from", "cut_off", "prompt"),
    ]
    assert list(made["request_counts"]) == [
        *("total", "queued", "started", "scheduled", "finished", "failed", "canceled")
    ]
    assert list(made["usage"]) == ["prompt_tokens", "completion_tokens"]
    assert made["created_at"] == "1970-01-12T13:45:00.000Z"


@pytest.mark.parametrize(
    ("changes", "states", "gates", "status", "code"),
    [
        ({}, {"queued": 1}, (), "in_progress", None),
        ({}, {"scheduled": 1, "finished": 3}, (), "in_progress", None),
        ({}, {"started": 1, "failed": 3}, (), "in_progress", None),
        ({}, {"finished": 3}, (), "completed", 0),
        ({}, {"finished": 3, "failed": 1}, (), "completed_with_errors", 1),
        ({}, {"failed": 1}, (), "completed_with_errors", 1),
        ({}, {"finished": 3, "canceled": 1}, (), "completed_with_errors", 1),  # its job was canceled, not the batch
        ({"sealed_at": None}, {"finished": 3}, (), "in_progress", None),  # the submit is not through
        ({"sealed_at": None}, {}, (), "in_progress", None),
        ({"canceled_at": NOW}, {"finished": 3, "canceled": 1}, (), "canceled", 1),
        ({"canceled_at": NOW}, {"canceled": 1, "failed": 1}, (), "canceled", 1),
        ({"canceled_at": NOW}, {"canceled": 1, "started": 1}, (), "in_progress", None),
        ({"canceled_at": NOW}, {"finished": 3}, (), "completed", 0),  # there was nothing left to cancel
        ({"canceled_at": NOW, "sealed_at": None}, {"canceled": 3}, (), "canceled", 1),
        ({}, {"queued": 1}, (HELD,), "on_hold", 3),
        ({}, {"queued": 1}, (HELD, HELD_LATER), "on_hold", 3),
        ({}, {"queued": 1, "started": 1}, (HELD,), "on_hold", 3),
        ({}, {"queued": 1}, (HELD, gate()), "in_progress", None),  # another account goes on
        ({}, {"queued": 1}, (CLOSED,), "in_progress", None),
        ({}, {"finished": 1}, (HELD,), "completed", 0),  # nothing waits for the gate
        ({"hold": Hold(reason="user", message="later", since=NOW)}, {"queued": 1}, (), "on_hold", 3),
    ],
)
def test_where_it_stands_and_what_wait_says_to_it(
    changes: dict[str, Any], states: dict[str, int], gates: tuple[Gate, ...], status: str, code: int | None
) -> None:
    made = document(batch(**changes), counts(**states), *gates)
    assert made["status"] == status
    assert exit_code(made) == code
    assert (made["finished_at"] is not None) == (status in ("completed", "completed_with_errors", "canceled"))


def test_a_hold_is_that_of_the_gate_held_longest() -> None:
    made = document(batch(), counts(queued=1), HELD_LATER, HELD)
    assert made["hold"] == {"reason": "credits", "message": "no credits left", "since": iso(NOW - 50)}
    assert (made["resume_at"], made["eta_s"]) == (None, None)
    assert "on hold (credits): no credits left" in summary(made)


def test_a_batch_whose_submit_died_says_how_it_goes_on() -> None:
    """Nothing of it is open, and it waits for what was never submitted."""
    told = "if that was interrupted, submit it again as before"
    assert told in summary(document(batch(sealed_at=None), counts(finished=1)))
    assert told not in summary(document(batch(sealed_at=None), counts(finished=1, queued=1)))
    assert told not in summary(document(batch(), counts(finished=1)))


def test_a_closed_lane_says_when_it_opens_and_the_pace_of_a_budget_is_no_closure() -> None:
    assert document(batch(), counts(queued=1), CLOSED)["resume_at"] == iso(NOW + 30)
    assert document(batch(), counts(queued=1), gate(budget_wait_s=600.0))["resume_at"] == iso(NOW + 600)
    assert document(batch(), counts(queued=1), CLOSED, gate())["resume_at"] is None
    assert document(batch(), counts(queued=1), CLOSED, HELD)["resume_at"] == iso(NOW + 30)
    assert document(batch(), counts(queued=1), gate(budget_wait_s=0.2))["resume_at"] is None
    assert document(batch(), counts(finished=1), CLOSED)["resume_at"] is None


def test_a_batch_ends_with_its_last_row_and_not_before_it_was_submitted() -> None:
    late = dataclasses.replace(counts(finished=2), last_ended_at=NOW - 10)
    assert document(batch(), late)["finished_at"] == iso(NOW - 10)
    cached = dataclasses.replace(counts(finished=2), last_ended_at=NOW - 5000)
    assert document(batch(), cached)["finished_at"] == iso(NOW - 99)
    assert document(batch(canceled_at=NOW - 3), counts(canceled=2))["finished_at"] == iso(NOW - 3)


def test_a_jobs_document_has_the_contracts_shape() -> None:
    made = job_document(job(row(text="up", raw_json='{"a": 1}', finished_at=NOW)))
    assert list(made) == [
        *("job_id", "custom_id", "image", "model", "prompt", "status", "attempts", "throttled", "error", "result"),
        *("created_at", "started_at", "finished_at"),
    ]
    assert made["result"]
    assert (made["error"], made["result"]["text"], made["result"]["raw"]) == (None, "up", {"a": 1})


def test_a_result_has_the_contracts_shape() -> None:
    made = result_document(row(text="up", raw_json='{"a": 1}', prompt_tokens=7, completion_tokens=3))
    assert list(made) == [
        *("job_id", "custom_id", "image", "model", "prompt", "status", "text", "raw", "error", "attempts"),
        *("throttled", "usage", "latency_s", "request_id", "provider", "finished_at"),
        "rehearsal",  # more than the contract asks for
        *("finish_reason", "sent"),
    ]
    assert made["usage"] == {"prompt_tokens": 7, "completion_tokens": 3}


@pytest.mark.parametrize("status", ["queued", "started", "scheduled"])
def test_what_is_open_shows_no_end(status: str) -> None:
    shown = row(status=status, error_type="HFServerError", error_message="it broke", status_code=502)
    documents: list[Any] = [job_document(job(shown)), result_document(shown)]
    for made in documents:
        assert made["finished_at"] is None
        assert made["error"] == {"type": "HFServerError", "message": "it broke", "status_code": 502}
        assert made.get("text") is None
        assert made.get("usage") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (45.4, "45 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (5400, "1.5 h"), (200_000, "2.3 days")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
