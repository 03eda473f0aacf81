"""What the ledger keeps of a requests file: a question per row, and pictures that have no file; on both stores."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from support.stores import QUESTION, open_batch, sha256_of

from jobs.core.errors import InputError
from jobs.core.job import Question, job_id
from jobs.ledger import Added, AnswerRow, Batch, Finished, Ledger, NewMember


def asked(prompt: str) -> Question:
    return Question(prompt=prompt, model=QUESTION.model)


def row(position: int, question: Question, picture: bytes) -> NewMember:
    sha256 = sha256_of(picture.decode())
    return NewMember(
        position=position,
        custom_id=f"request-{position}",
        job_id=job_id(sha256, question.id),
        image_sha256=sha256,
        image=f"picture://{sha256}",
        question=question,
        pictures={sha256: picture},
    )


def add(ledger: Ledger, batch: Batch, rows: Sequence[NewMember]) -> Added:
    return ledger.add_members(batch, rows, refresh=False, count_rehearsals=False, now=batch.created_at)


def test_every_row_of_a_batch_may_ask_something_else(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    rows = [row(number, asked(f"question {number % 3}"), b"chart") for number in range(1, 5)]
    added = add(ledger, batch, rows)
    ledger.seal(batch, 1)
    assert added.queue == [one.job_id for one in rows[:3]]  # the fourth asks what the first does
    started = ledger.start([(job, "e") for job in added.queue], 2)
    assert [ledger.question(started[one.job_id].question_id) for one in rows[:3]] == [one.question for one in rows[:3]]
    ledger.record([Finished(job_id=rows[0].job_id, execution_id="e", answer=AnswerRow(text="up", raw=None))], 3)
    told = [(one.custom_id, one.prompt, one.model, one.text) for one in ledger.results(batch)]
    assert told == [
        ("request-1", "question 1", "org/model", "up"),
        ("request-2", "question 2", "org/model", None),
        ("request-3", "question 0", "org/model", None),
        ("request-4", "question 1", "org/model", "up"),
    ]
    assert [one.prompt for one in ledger.latest(batch, 5)] == ["question 1"] * 2
    assert ledger.job(rows[1].job_id).question.prompt == "question 2"
    assert {one.lane for one in ledger.open_jobs(0, 10)} == {QUESTION.lane}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"parameters": {"temperature": 0.2, "max_tokens": 5, "response_format": {"z": None, "a": [True, "é"]}}},
        {"image_max_side": 300, "image_max_bytes": 70_000},
        {"api": "task", "task": "image-to-text"},
        {"api": "task", "task": "visual-question-answering", "image_max_side": 2048, "image_max_bytes": 3_000_000},
    ],
)
def test_a_question_comes_back_as_it_was_asked_its_parameters_in_their_order(
    ledger: Ledger, fields: dict[str, Any]
) -> None:
    question = Question(prompt="Up?\n", model="org/m:provider", **fields)
    add(ledger, open_batch(ledger, now=1), [row(1, question, b"chart")])
    back = ledger.question(question.id)
    assert back == question
    assert json.dumps(back.parameters) == json.dumps(question.parameters)


def test_rows_that_bring_no_question_ask_the_batchs(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    plain = NewMember(
        position=0,
        custom_id="a",
        job_id=job_id(sha256_of("a"), QUESTION.id),
        image_sha256=sha256_of("a"),
        image="/charts/a.png",
    )
    add(ledger, batch, [plain, row(1, asked("else"), b"a")])
    assert [one.prompt for one in ledger.results(batch)] == [QUESTION.prompt, "else"]


def test_a_picture_is_kept_once_and_comes_back_as_it_went_in(ledger: Ledger) -> None:
    rows = [row(1, asked("x"), b"chart"), row(2, asked("y"), b"chart"), row(3, asked("x"), b"other")]
    for now in (1, 2):  # a second submit brings the same pictures
        add(ledger, open_batch(ledger, now=now, fingerprint=str(now)), rows)
    assert ledger.picture(sha256_of("chart")) == b"chart"
    assert ledger.picture(sha256_of("other")) == b"other"
    assert ledger.picture(sha256_of("nobody's")) is None


def test_a_chunk_that_is_refused_leaves_neither_question_nor_picture(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    ledger.cancel(batch, 1)
    with pytest.raises(InputError, match="was canceled"):
        add(ledger, batch, [row(1, asked("x"), b"chart")])
    assert ledger.picture(sha256_of("chart")) is None
