"""What a job is. Who changes how ids are worked out pays for every chart a second time."""

from typing import Any

import pytest

from jobs.core.job import FIRST_LIMITS, Question, job_id, subject_of, url_hash

FIRST_SIDE, FIRST_BYTES = FIRST_LIMITS


@pytest.mark.parametrize(
    ("asked", "id_"),
    [
        ({}, "4a50683d025229acb66cc70f73919371"),
        ({"parameters": {"max_tokens": 5, "a": "é"}}, "ba11388a0c0c992f55025467508a20df"),
        ({"parameters": {"a": "é", "max_tokens": 5}}, "ba11388a0c0c992f55025467508a20df"),
        ({"api": "task", "task": "image-to-text"}, "8fa086e0dec708d6f1c278c3c6af030e"),
        ({"api": "task", "task": "visual-question-answering"}, "444b754c818c2a09e9ce5ba821388743"),
        ({"image_max_side": FIRST_SIDE, "image_max_bytes": FIRST_BYTES}, "4a50683d025229acb66cc70f73919371"),
        ({"image_max_side": 2048, "image_max_bytes": 3_000_000}, "1a18b1d576d00b288e9352a7745cf9b4"),
    ],
)
def test_a_question_has_the_id_that_it_had_in_every_version(asked: dict[str, Any], id_: str) -> None:
    assert Question(prompt="Up?", model="org/model", **asked).id == id_


def test_a_job_has_the_id_that_it_had_in_every_version() -> None:
    question = "ef" * 16
    assert job_id(subject_of([]), question) == "63ee3e8be06c5a9e06b293916f7abd34"
    assert job_id(subject_of(["ab" * 32, "cd" * 32]), question) == "3f141e2fdec9790bea7eec7b7f736d87"
    assert subject_of(["cd" * 32, "ab" * 32]) == f"{'cd' * 32},{'ab' * 32}", "their order is the question's"
    url = url_hash("https://example.com/a.png")
    assert url == "url-494a30704d4f32ac0b81739d18a66d3638d440cbc6f5669f6af66f840edee5ab"


def test_who_asked_before_limits_were_the_questions_is_shown_the_picture_of_then() -> None:
    assert Question(prompt="Up?", model="org/model").picture_limits == (1024, 1_000_000)
