"""The fields of structured answers: which columns they make, of which type, and what stands in them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from jobs.core.errors import SchemaError
from jobs.core.job import Question
from jobs.schemas.response_format import schema_of
from jobs.schemas.subschemas import referred

#: `json`: of several types, or an object; shown as JSON text.
FieldType = Literal["string", "number", "integer", "boolean", "json"]

_PLAIN: tuple[FieldType, ...] = ("string", "number", "integer", "boolean")

#: How often a reference or an optional type is opened.
_MAX_OPENED = 8


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of the answers to a question."""

    name: str
    type: FieldType
    #: A list of that type.
    many: bool = False

    @property
    def column(self) -> str:
        """What it is called beside a result's own columns."""
        return f"answer_{self.name}"

    def value(self, answer: Any) -> Any:
        """The field's value in an answer, None if it has none."""
        return answer.get(self.name) if isinstance(answer, Mapping) else None


def answer_fields(question: Question) -> tuple[Field, ...]:
    """The fields that answers to a question have, in the schema's order; none if it asks for no object."""
    schema = schema_of(question)
    if schema is None:
        return ()
    properties = _opened(schema, schema).get("properties")
    if not isinstance(properties, Mapping):
        return ()
    return tuple(_field(name, inner, schema) for name, inner in properties.items())


def parsed_answer(text: str | None) -> Any:
    """The JSON value of an answer's text; None where there is none (a worker wrote no other since it checks)."""
    if text is None:
        return None
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
        return value
    return None


def _field(name: str, inner: Any, root: Mapping[str, Any]) -> Field:
    schema = _opened(inner, root)
    kind = _type(schema)
    if kind == "array":
        item = _type(_opened(schema.get("items"), root))
        return Field(name=name, type=_plain(item), many=True) if item in _PLAIN else Field(name=name, type="json")
    return Field(name=name, type=_plain(kind))


def _plain(kind: str | None) -> FieldType:
    return next((one for one in _PLAIN if one == kind), "json")


def _type(schema: Mapping[str, Any]) -> str | None:
    """The one type of a value that isn't null; None if there are several or none is told."""
    named = schema.get("type")
    if named is None and (values := schema.get("enum", [schema["const"]] if "const" in schema else [])):
        named = ["string"] if all(isinstance(value, str) or value is None for value in values) else []
    types = [one for one in (named if isinstance(named, list) else [named]) if one != "null"]
    return types[0] if len(types) == 1 and isinstance(types[0], str) else None


def _opened(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Behind references and behind `anyOf: [..., null]`, as pydantic writes what is optional."""
    for _ in range(_MAX_OPENED):
        if not isinstance(schema, Mapping):
            break
        ways = schema.get("anyOf") or schema.get("oneOf") or ()
        ways = [way for way in ways if not (isinstance(way, Mapping) and way.get("type") == "null")]
        if "$ref" in schema:
            with suppress(SchemaError):
                schema = referred(root, schema["$ref"])
                continue
            return {}
        if len(ways) != 1:
            break
        schema = ways[0]
    return schema if isinstance(schema, Mapping) else {}
