"""JSON schemas: which are taken, what fits them, which columns they make; and no schema and no answer takes forever."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import TypeAdapter

from jobs.config.settings import Settings
from jobs.core.errors import InputError, SchemaError
from jobs.core.job import Question
from jobs.schemas import CHART, CHART_PROMPT, Field, answer_fields, parsed_answer, schema_of
from jobs.schemas.response_format import MAX_SCHEMA_BYTES, read_schema
from jobs.schemas.validator import Checker, checker_for
from jobs.submit.question import make_question

CHART_ANSWER = {
    "trend": "up",
    "patterns": ["double bottom"],
    "indicators": [],
    "support": [101.5, 99],
    "resistance": [],
    "confidence": 0.7,
    "summary": "It rises.",
}

PROPERTY = {"type": "object", "properties": {"a": {"type": "string"}}}


def question(schema: Any, **changes: Any) -> Question:
    given = {"prompt": "Which?", "model": "m", "parameters": {}, "schema": schema, **changes}
    return make_question(Settings(), **given)


def of(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), **more}


# Asking -------------------------------------------------------------------------------------------------


def test_the_schema_is_part_of_the_question_in_openais_form(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("\ufeff" + json.dumps({**PROPERTY, "title": "My trend! (v2)"}))
    asked = question(str(file))
    wanted = asked.parameters["response_format"]
    TypeAdapter(ResponseFormatJSONSchema).validate_python(wanted, strict=True)
    assert wanted["json_schema"] == {
        "name": "My_trend_v2",
        "schema": {**PROPERTY, "title": "My trend! (v2)"},
        "strict": True,
    }
    assert schema_of(asked) == wanted["json_schema"]["schema"]
    # Neither the file's name nor its spelling is part of the question; the schema is.
    file.rename(tmp_path / "b.json")
    (tmp_path / "b.json").write_text(
        json.dumps(dict(reversed(list(read_schema(tmp_path / "b.json").items()))), indent=3)
    )
    assert question(tmp_path / "b.json").id == asked.id != question(PROPERTY).id
    assert question(PROPERTY).parameters["response_format"]["json_schema"]["name"] == "answer"


def test_the_chart_schema_brings_its_prompt_and_is_what_strict_servers_take() -> None:
    asked = question("chart", prompt=None)
    assert asked.prompt == CHART_PROMPT
    assert question("chart", prompt="Mine").prompt == "Mine"
    # Another text here is another question to every user's ledger: on purpose only.
    asked = question("chart", prompt=None, model="org/model", max_side=1024)
    first = replace(asked, image_max_bytes=1_000_000)  # as it was before the limits were the question's
    assert (first.id, asked.id == first.id) == ("5939d16c84742370cf6b4c739baf646a", False)
    assert CHART["additionalProperties"] is False
    assert CHART["required"] == list(CHART["properties"])
    assert all(name in CHART_PROMPT for name in CHART["required"])
    assert Checker(CHART).mismatch(CHART_ANSWER) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON: nested too deeply"),
        ('{"minimum": NaN}', "NaN is no JSON"),
        ("[]", "must be a JSON object, not list"),
        ('{"type": "array"}', "root must say"),
        ('{"type": "object", "properties": {"a": {"type": "text"}}}', r"not valid: \$\.properties\.a\.type: 'text'"),
        ("x" * (MAX_SCHEMA_BYTES + 1), "larger than 100,000 bytes"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_schema_is_wrong_usage(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SchemaError, match=says):
        question(tmp_path / "s.json")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (of({"a": {"$ref": "http://127.0.0.1:9/x.json"}}), "nothing is fetched"),
        (of({"a": {"$ref": "file:///etc/passwd"}}), "nothing is fetched"),
        (of({"a": {"$ref": "other.json#/x"}}), "nothing is fetched"),
        (of({"a": {"$ref": "#/$defs/b"}}), "not in it"),
        (of({"a": {"$ref": "#/x"}}, x={"items": {"$ref": "http://127.0.0.1:9/"}}), "nothing is fetched"),
        (of({"a": {"$dynamicRef": "#x"}}), r"\$dynamicRef"),
        (of({"a": {"$id": "http://x/"}}), r"\$id below its root"),
        (of({}, patternProperties={"^(a+)+$": {}}), "patternProperties"),
        (of({"a": {"pattern": "(?=x)"}}), "look-around"),
        (of({"a": {"pattern": r"(a)\1"}}), "backreferences"),
        (of({"a": {"pattern": "("}}), "unclosed group"),
        (of({"a": {"pattern": "(?:a?){90}{90}{90}"}}), "too large"),
        (of({"a": {"pattern": r"(?:\w?\w?){900}"}}), "size limit"),
        (of({}, **{"$schema": "http://json-schema.org/draft-03/schema#"}), "draft-07"),
        (of({"a": {"const": "x" * MAX_SCHEMA_BYTES}}), "more than 100,000 characters"),
        (of({"a": {"minimum": float("nan")}}), "JSON values"),
    ],
)
def test_what_cannot_be_checked_safely_is_refused_before_anything_is_asked(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        question(schema)


def test_a_schema_in_the_parameters_is_checked_alike() -> None:
    given = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strin"}}}
    with pytest.raises(SchemaError, match=r"\$\.type"):
        question(None, parameters={"response_format": given})
    with pytest.raises(SchemaError, match="leave that parameter out"):
        question("chart", parameters={"extra_body": {"response_format": {}}})
    assert schema_of(question(None, parameters={"response_format": {"type": "json_object"}})) is None


def test_the_classic_api_has_no_structured_answers() -> None:
    with pytest.raises(InputError, match="HF_API=chat"):
        make_question(Settings(hf_api="task"), prompt="x", model="m", parameters={}, schema="chart")


def test_only_questions_with_a_schema_load_its_library() -> None:
    loaded = "jobs.api, worker.cli.run_command, worker.cli.work_command, worker.engine.structured"
    code = f"import sys, {loaded}; print('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# Checking -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        (CHART, CHART_ANSWER, None),
        (CHART, {**CHART_ANSWER, "trend": "sideway"}, "$.trend: 'sideway' is not one of ['up', 'down', "),
        (CHART, {**CHART_ANSWER, "support": [1, "2"]}, "$.support[1]: '2' is not of type 'number'"),
        (CHART, {**CHART_ANSWER, "confidence": 70}, "$.confidence: 70 is greater than the maximum of 1"),
        (CHART, {**CHART_ANSWER, "more": 1}, "$: Additional properties are not allowed ('more' was unexpected)"),
        (CHART, {"trend": "up"}, "is a required property"),
        (CHART, [CHART_ANSWER], "is not of type 'object'"),
        (of({"a": {"pattern": r"^\d{4}$"}}), {"a": "2026"}, None),
        (of({"a": {"pattern": r"^\d{4}$"}}), {"a": "in 2026"}, r"does not match '^\\d{4}$'"),
        (of({"a": {"pattern": "b"}}), {"a": "abc"}, None),
        (of({"a": {"$ref": "#/$defs/b"}}, **{"$defs": {"b": {"enum": [1]}}}), {"a": 2}, "$.a: 2 is not one of [1]"),
        (of({"a": {"$ref": "#"}}), {"a": {"a": {"a": 1}}}, "$.a.a.a: 1 is not of type 'object'"),
        (of({"a": {"format": "date"}}), {"a": "no date"}, None),
        (of({"a": {"uniqueItems": True}}), {"a": [{"b": 1}, {"b": 1}]}, "has non-unique elements"),
        (of({"a": PROPERTY}, **{"$id": "https://x/y", "$schema": "http://json-schema.org/draft-07/schema#"}),
         {"a": {"a": 1}}, "$.a.a: 1 is not of type 'string'"),
        # Fields that are called like keywords are fields.
        (of({"pattern": {"const": {"pattern": "("}}, "patternProperties": {}}), {"pattern": 1}, "$.pattern: "),
    ],
)  # fmt: skip
def test_values_are_checked(schema: dict[str, Any], value: Any, says: str | None) -> None:
    why = Checker(schema).mismatch(value)
    assert why is None if says is None else says in str(why)


def choices(levels: int) -> dict[str, Any]:
    """2**levels ways to look at any value."""
    refs = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**refs, f"a{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        (choices(60), {}, "more than 100,000 steps"),
        ({"$ref": "#"}, {}, "nested too deeply"),
        ({"uniqueItems": True}, [{"a": n} for n in range(20_000)], "more than 100,000 steps"),
        ({"items": {"enum": list(range(1_000))}}, [-1] * 20_000, "more than 100,000 steps"),
        # Minutes to years with Python's own engine, which holds the interpreter's lock meanwhile.
        ({"pattern": "^(a+)+$"}, "a" * 100_000 + "b", "does not match"),
        ({"pattern": "(?:[ab]?[abc]?){700}c$"}, "ab" * 50_000, "more than 100,000 steps"),
    ],
)
def test_a_check_ends_whatever_the_schema_and_the_answer(schema: dict[str, Any], value: Any, says: str) -> None:
    why = Checker(schema).mismatch(value)
    assert says in str(why)
    assert len(str(why)) < 400


def test_each_check_has_its_own_steps() -> None:
    checker = Checker({"items": {"enum": list(range(1_000))}})
    assert checker.mismatch([-1] * 20_000) == checker.mismatch([-1] * 20_000)
    assert checker.mismatch([1] * 10) is None


def test_a_schema_is_made_ready_once_for_all_threads() -> None:
    text = json.dumps(of({"a": {"const": "made ready once"}}))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(checker_for, [text] * 8))) == 1


def test_an_answer_of_a_thousand_objects_can_be_checked() -> None:
    ten = {f"f{n}": {"type": ["number", "null"]} for n in range(10)}
    schema = of({"rows": {"items": of(ten, required=list(ten), additionalProperties=False)}})
    value = {"rows": [dict.fromkeys(ten, 1.5)] * 1_000}
    assert Checker(schema).mismatch(value) is None


# Fields -------------------------------------------------------------------------------------------------


def test_fields_have_the_schemas_order_and_types() -> None:
    schema = of(
        {
            "z": {"type": "string"},
            "number": {"type": ["number", "null"]},
            "optional": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "yes": {"type": "boolean"},
            "ref": {"$ref": "#/$defs/Trend"},
            "list": {"type": "array", "items": {"$ref": "#/$defs/Trend"}},
            "objects": {"type": "array", "items": {"type": "object"}},
            "object": {"type": "object"},
            "several": {"type": ["string", "number"]},
            "any": True,
        },
        **{"$defs": {"Trend": {"enum": ["up", "down"]}}},
    )
    assert [(field.name, field.type, field.many) for field in answer_fields(question(schema))] == [
        ("z", "string", False),
        ("number", "number", False),
        ("optional", "integer", False),
        ("yes", "boolean", False),
        ("ref", "string", False),
        ("list", "string", True),
        ("objects", "json", False),
        ("object", "json", False),
        ("several", "json", False),
        ("any", "json", False),
    ]
    assert [field.name for field in answer_fields(question("chart"))] == CHART["required"]


@pytest.mark.parametrize("schema", [None, {"$ref": "#/a", "a": {"$ref": "#"}}, {"$ref": 5}, {"properties": []}, {}])
def test_no_schema_no_fields(schema: dict[str, Any] | None) -> None:
    wanted = {} if schema is None else {"type": "json_schema", "json_schema": {"schema": schema}}
    assert answer_fields(Question(prompt="x", model="m", parameters={"response_format": wanted})) == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', {"a": 1}), ("up", None), (None, None), ("[1e999]", None), ('{"a": NaN}', None), ("[" * 9_999, None)],
)
def test_answers_are_parsed_to_what_json_can_hold(text: str | None, value: Any) -> None:
    assert parsed_answer(text) == value


def test_a_field_is_nothing_where_the_answer_has_none() -> None:
    field = Field(name="a", type="string")
    assert [field.value(answer) for answer in ({"a": "x"}, {}, None, [1])] == ["x", None, None, None]
