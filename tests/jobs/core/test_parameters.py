"""What a question may not ask for, wherever it stands."""

from typing import Any

import pytest

from jobs.core.parameters import refused_parameter


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n": 100}, "'n'"),
        ({"extra_body": {"n": 100}}, "extra_body: 'n'"),
        ({"extra_body": {"n": True}}, "'n'"),
        ({"extra_body": {"n": "3"}}, "'n'"),
        ({"extra_body": {"best_of": 5}}, "'best_of'"),
        ({"extra_body": {"extra_body": {"n": 5}}}, "extra_body of its own"),
        ({"num_return_sequences": 4}, "'num_return_sequences'"),
        ({"extra_body": {"model": "org/dear"}}, "'model'"),
        ({"extra_body": {"messages": []}}, "'messages'"),
        ({"extra_body": {"stream": True}}, "'stream'"),
        ({"extra_body": {"stream_options": {}}}, "'stream_options'"),
        ({"model": "org/dear"}, "'model'"),
        ({"stream": False}, "'stream'"),
        ({"n": 1}, None),
        ({"n": None, "extra_body": {"n": 1, "stream": False}}, None),
        ({"temperature": 0, "extra_body": {"chat_template_kwargs": {"n": 7}}}, None),
        ({"extra_body": "no object"}, None),
    ],
)
def test_one_answer_of_one_model_is_asked_for(parameters: dict[str, Any], named: str | None) -> None:
    why = refused_parameter(parameters)
    assert why is None if named is None else named in (why or "")
