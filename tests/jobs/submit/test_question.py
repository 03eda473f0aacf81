"""What a question is made of: with a picture its limits, without one nothing that is about pictures."""

from typing import Any

import pytest

from jobs.config.settings import Settings
from jobs.core.job import Api, Question
from jobs.submit.question import make_question, stage_question

WIDE, NARROW = (Settings(image_max_side=side, image_max_bytes=side * 1000) for side in (2000, 500))
ASKED: dict[str, Any] = {"model": "org/m", "parameters": {}}


def limits(question: Question) -> tuple[int | None, int | None]:
    return question.image_max_side, question.image_max_bytes


def test_the_pictures_limits_are_the_producers_and_who_asks_may_give_a_side() -> None:
    assert limits(make_question(WIDE, prompt="Up?", **ASKED)) == (2000, 2_000_000)
    assert limits(make_question(WIDE, prompt="Up?", max_side=64, **ASKED)) == (64, 2_000_000)
    with_image = stage_question(NARROW, template="Up?", with_image=True, **ASKED)
    assert with_image == make_question(NARROW, prompt="Up?", **ASKED)


@pytest.mark.parametrize("api", ["chat", "task"])
def test_a_stage_without_the_picture_asks_the_same_whatever_is_set_for_pictures(api: Api) -> None:
    asked = [
        stage_question(Settings(hf_api=api, image_max_side=side), template="{text}?", **ASKED) for side in (2000, 500)
    ]
    assert asked == [Question(prompt="{text}?", api=api, **ASKED)] * 2
