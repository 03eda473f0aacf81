"""How a question asks for JSON: the schema stands in its parameters, as `response_format` sends it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.core.errors import SchemaError
from jobs.core.job import Question
from jobs.core.text import strict_json

#: `chart`, a file's path, or the schema itself.
SchemaSource = str | os.PathLike[str] | Mapping[str, Any]

#: The schema that comes along, `--schema chart`. A change of it or of the prompt is another question: new ids.
CHART: Mapping[str, Any] = json.loads(Path(__file__).with_name("chart.json").read_text("utf-8"))

#: What is asked with it when there is no -p. It names the fields: not every server shows the model the schema.
CHART_PROMPT = (
    "Read this trading chart and answer with one JSON object. trend: up, down, sideways or unclear, from the left "
    "edge to the right one. patterns: the chart patterns you see. indicators: the indicators that are drawn, with "
    "their settings. support and resistance: levels as prices of the chart's axis. confidence: 0 to 1. summary: one "
    "or two sentences. Use what the picture shows and nothing else; where it shows nothing, give an empty list."
)

#: Bytes of the largest schema file; providers refuse far smaller ones (OpenAI: 15,000 characters of names).
MAX_SCHEMA_BYTES = 100_000

#: What the API takes as a schema's name.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME_CHARS = 64


def ask_for(
    source: SchemaSource, *, prompt: str | None, parameters: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """Prompt and parameters of a question whose answers are to fit a schema. Raises SchemaError.

    With `chart` a missing prompt becomes CHART_PROMPT.
    """
    if "response_format" in parameters or "response_format" in _extra_body(parameters):
        raise SchemaError("--schema writes response_format itself: leave that parameter out")
    schema = read_schema(source)
    if schema.get("type") != "object":
        raise SchemaError('the schema\'s root must say "type": "object": answers are objects, their fields columns')
    asked = CHART_PROMPT if schema is CHART and not (prompt or "").strip() else prompt
    return asked, {**parameters, "response_format": _response_format(schema)}


def read_schema(source: SchemaSource) -> Mapping[str, Any]:
    """The schema as it stands there, not yet checked. Raises SchemaError: no such file, too large, not JSON."""
    if source == "chart":
        return CHART
    schema = source if isinstance(source, Mapping) else _from_file(Path(source))
    if not isinstance(schema, Mapping):
        raise SchemaError(f"the schema must be a JSON object, not {type(schema).__name__}")
    return schema


def schema_of(question: Question) -> Mapping[str, Any] | None:
    """The schema that answers to a question have to fit; None if it asks for none."""
    return schema_in(question.parameters) if question.api == "chat" else None


def schema_in(parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema in a question's parameters, by whatever way it came there."""
    wanted = parameters.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return None
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The name is the schema's title, and not the file's: a file that is renamed asks no new question."""
    title = schema.get("title")
    name = _NOT_IN_NAMES.sub("_", title).strip("_")[:_MAX_NAME_CHARS] if isinstance(title, str) else ""
    return {
        "type": "json_schema",
        "json_schema": {"name": name or "answer", "schema": dict(schema), "strict": True},
    }


def _from_file(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCHEMA_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        hint = "" if path.suffix else "; the one that is built in is called chart"
        raise SchemaError(f"the schema file {str(path)!r} can't be read: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise SchemaError(f"the schema file {str(path)!r} is not UTF-8 text: {error}") from error
    if len(data) > MAX_SCHEMA_BYTES:
        raise SchemaError(f"the schema file {str(path)!r} is larger than {MAX_SCHEMA_BYTES:,} bytes")
    try:
        return strict_json(text)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise SchemaError(f"the schema file {str(path)!r} is not JSON: {why}") from error


def _extra_body(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = parameters.get("extra_body")
    return extra if isinstance(extra, Mapping) else {}
