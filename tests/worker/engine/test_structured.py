"""`--schema`: the whole way from a schema to columns, with real processes and the rehearsal server as the provider."""

import csv
import json
from typing import Any

import pytest
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import TypeAdapter
from support.stack import Stack, draw_charts

from jobs import iter_results, submit_folder
from jobs.config.settings import Settings
from jobs.core.errors import SchemaError
from jobs.core.job import Question
from jobs.schemas import CHART, CHART_PROMPT
from worker.engine.structured import check_of, checked
from worker.hf.errors import HFMaxTokensError, HFSchemaMismatchError
from worker.hf.replies import Answer
from worker.rehearsal import Rehearsal

ENVIRONMENT = {"RETRY_DELAY": "0.05", "MAX_RETRIES": "2"}

GOOD = {"b": "x", "a": [1, 2.5]}
SCHEMA = {
    "type": "object",
    "properties": {"b": {"type": "string"}, "a": {"type": "array", "items": {"type": "number"}}},
    "required": ["b", "a"],
}


def asking(schema: Any, **changes: Any) -> Question:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    return Question(**{"prompt": "?", "model": "m", "parameters": {"response_format": wanted}, **changes})


# One answer ---------------------------------------------------------------------------------------------


def check(text: str, schema: Any = SCHEMA, **about: Any) -> str:
    mismatch = check_of(asking(schema))
    assert mismatch is not None
    return checked(Answer(text=text, raw={}, **about), mismatch).text


@pytest.mark.parametrize(
    "text",
    [
        '{"b": "x", "a": [1, 2.5]}',
        ' \n{"b":"x",\n  "a":[1,2.5]}\n',
        '```json\n{"b": "x", "a": [1, 2.5]}\n```',
        '\n```\r\n{"b": "x", "a": [1, 2.5]}\r\n```\n',
        '```JSON {"b": "x", "a": [1, 2.5]}```',
    ],
)
def test_a_fitting_answer_becomes_plain_json_on_one_line(text: str) -> None:
    assert check(text) == '{"b": "x", "a": [1, 2.5]}'


def test_what_it_says_is_kept_in_its_own_letters_and_can_be_stored() -> None:
    assert check('{"b": "é\\u4e0a\\ud800\\u0000", "a": []}') == '{"b": "é上?\\u0000", "a": []}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Up, I think.", "The answer is not JSON: Expecting value: line 1 column 1 (char 0). It said: Up, I think."),
        ('Sure:\n```json\n{"b": "x", "a": []}\n```', "The answer is not JSON"),
        ('{"b": "x", "a": []} Hope that helps!', "The answer is not JSON: Extra data"),
        ("[" * 100_000, "The answer is not JSON: nested too deeply"),
        ('{"b": "x", "a": [NaN]}', "$.a[0]: None is not of type 'number'"),
        ('{"b": 1, "a": []}', "The answer does not fit the schema: $.b: 1 is not of type 'string'. It said: "),
        (json.dumps({"b": "x" * 9_999, "a": 1}), '$.a: 1 is not of type \'array\'. It said: {"b": "xxx'),
    ],
)
def test_another_is_a_bad_answer_that_says_where(text: str, says: str) -> None:
    with pytest.raises(HFSchemaMismatchError) as caught:
        check(text, request_id="r-1")
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 500
    assert (caught.value.status_code, caught.value.request_id) == (200, "r-1")


def test_an_answer_that_was_cut_off_says_what_to_do() -> None:
    """It is no misfit that may fit the next time: the same again would be cut off again."""
    for text, reason in (('{"b": "x", "a": [1,', "length"), ('{"b": 1', "MAX_TOKENS"), ("1", "length")):
        with pytest.raises(HFMaxTokensError, match=r"max_tokens ran out: raise it \(--param max_tokens=4000\)"):
            check(text, finish_reason=reason)


def test_json_that_was_whole_when_max_tokens_ran_out_counts() -> None:
    assert check('{"b": "x", "a": []}\n\n', finish_reason="length")


def test_only_chat_questions_with_a_schema_are_checked() -> None:
    assert check_of(asking(SCHEMA, parameters={})) is None
    assert check_of(asking(SCHEMA, api="task", task="visual-question-answering")) is None
    with pytest.raises(SchemaError):
        check_of(asking({"$ref": "http://127.0.0.1:9/"}))


# A batch ------------------------------------------------------------------------------------------------


def rows_of(user: Stack, batch_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in user.run("results", batch_id).stdout.splitlines()]


def test_misfits_are_asked_again_and_the_fields_become_columns(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 4)
    server.behave(first_faults=["misfit", "prose"])
    document = user.run("run", str(charts), "--schema", "chart", "--json").json()
    assert document["request_counts"] == {**dict.fromkeys(document["request_counts"], 0), "total": 4, "finished": 4}

    sent = server.record[0].body
    TypeAdapter(ResponseFormatJSONSchema).validate_python(sent["response_format"], strict=True)
    # A model fills in the fields as they come, so they are sent, and shown, in the schema's order.
    assert list(sent["response_format"]["json_schema"]["schema"]["properties"]) == CHART["required"]
    assert server.record[0].prompt == CHART_PROMPT

    rows = rows_of(user, document["batch_id"])
    assert len(server.record) == sum(row["attempts"] for row in rows) == 6
    assert all(json.loads(row["text"]) == row["answer"] for row in rows)
    assert [list(row["answer"]) for row in rows] == [CHART["required"]] * 4
    assert {row["answer"]["trend"] for row in rows} <= set(CHART["properties"]["trend"]["enum"])

    written = user.folder / "answers.csv"
    user.run("results", document["batch_id"], "-o", str(written))
    with written.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0])[2:10] == ["text", *(f"answer_{name}" for name in CHART["required"])]
    assert [line["answer_trend"] for line in table] == [row["answer"]["trend"] for row in rows]

    # The same question again is no call.
    assert user.run("run", str(charts), "--schema", "chart", "--json").json()["status"] == "completed"
    assert len(server.record) == 6


def test_one_that_was_cut_off_is_not_paid_for_again(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 2)
    server.behave(fault="cut-short")
    document = user.run("run", str(charts), "--schema", "chart", "--json", expect=1).json()
    assert [row["error"]["type"] for row in rows_of(user, document["batch_id"])] == ["HFMaxTokensError"] * 2
    assert len(server.record) == 2


def test_one_that_never_fits_fails_when_its_attempts_are_used_up(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 3)
    (user.folder / "schema.json").write_text(json.dumps(SCHEMA))
    server.behave(fault="misfit")
    arguments = ("run", str(charts), "-p", "Levels?", "--schema", "schema.json", "--json", "--concurrency", "1")
    document = user.run(*arguments, expect=1).json()
    assert document["request_counts"]["failed"] == 3
    # Nine bad answers in a row from three jobs are no outage: the server is there, and was asked no more than that.
    assert len(server.record) == 9
    for row in rows_of(user, document["batch_id"]):
        assert (row["status"], row["attempts"], row["answer"], row["text"]) == ("failed", 3, None, None)
        assert (row["error"]["type"], row["error"]["status_code"]) == ("HFSchemaMismatchError", 200)
        assert "$.b: {'misfit': '[rehearsal]'} is not of type 'string'. It said: {\"b\"" in row["error"]["message"]

    server.behave(fault=None)
    user.run("retry", document["batch_id"])
    user.run("worker", "--burst")
    assert {row["answer"]["a"][0] for row in rows_of(user, document["batch_id"])} == {0.0}


def test_a_schema_that_cannot_be_used_is_wrong_usage_and_writes_nothing(user: Stack) -> None:
    charts = draw_charts(user.folder / "charts", 1)
    (user.folder / "bad.json").write_text('{"type": "object", "properties": {"a": {"$ref": "https://x.org/a.json"}}}')
    refused = user.run("submit", str(charts), "-p", "?", "--schema", "bad.json", module="jobs", expect=2)
    assert "nothing is fetched from elsewhere" in refused.stderr
    assert (
        "have no response_format" in user.run("run", str(charts), "--schema", "chart", expect=2, HF_API="task").stderr
    )
    assert "called chart" in user.run("submit", str(charts), "--schema", "chrt", module="jobs", expect=2).stderr
    assert user.run("list", "--json").stdout == ""


def test_from_python_a_schema_needs_no_file(user: Stack, server: Rehearsal) -> None:
    settings = Settings(
        chartq_home=user.home, hf_base_url=server.base_url, rehearsal=True, vision_model="org/model", redis_url=None
    )
    charts = draw_charts(user.folder / "charts", 2)
    submitted = submit_folder(charts, "Levels?", schema=SCHEMA, settings=settings)
    chart = submit_folder(charts, schema="chart", settings=settings)
    user.run("worker", "--burst")
    answers = [row["answer"] for row in iter_results(submitted["batch_id"], settings=settings)]
    assert [list(answer) for answer in answers] == [["b", "a"]] * 2
    assert all(
        set(row["answer"]) == set(CHART["required"]) for row in iter_results(chart["batch_id"], settings=settings)
    )
    with pytest.raises(SchemaError):
        submit_folder(charts, "?", schema={"type": "array"}, settings=settings)
