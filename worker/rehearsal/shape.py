"""A value that fits a JSON schema: enough of JSON Schema for structured answers to be rehearsed."""

from collections.abc import Collection, Mapping
from typing import Any


def fit(schema: Mapping[str, Any], text: str, prefer: Collection[str] = ()) -> Any:
    """The plainest value that fits; `text` where any string does, a word of `prefer` where an enum has it."""
    return _fit(schema, schema, text, prefer)


def requested_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that `response_format` asks for, in OpenAI's form or TGI's; `{}` if any object will do."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_schema":
        inner = wanted.get("json_schema") or {}
        schema = inner.get("schema", {}) if isinstance(inner, dict) else {}
    elif wanted.get("type") in ("json", "json_object"):
        schema = wanted.get("value", {})
    else:
        return None
    return schema if isinstance(schema, dict) else {}


def _fit(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, prefer: Collection[str]) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return next((value for value in schema["enum"] if value in prefer), schema["enum"][0])
    match _type_of(schema):
        case "object":
            return _fit_object(schema, root, text, prefer)
        case "array":
            items = [_fit(schema.get("items", {}), root, text, prefer)]
            return items * max(1, schema.get("minItems", 1))
        case "string":
            return _fit_string(schema, text)
        case "integer":
            return int(_fit_number(schema))
        case "number":
            return _fit_number(schema)
        case "boolean":
            return True
        case _:
            return None


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow `$ref` within the document and take the first way of `anyOf`, as pydantic's schemas need."""
    for _ in range(8):
        if "$ref" in schema:
            schema = _referred(str(schema["$ref"]), root)
        elif ways := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = ways[0]
        else:
            break
    return schema


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    place: Any = root
    for key in reference.removeprefix("#/").split("/"):
        place = place.get(key, {}) if isinstance(place, dict) else {}
    return place if isinstance(place, dict) else {}


def _type_of(schema: Mapping[str, Any]) -> str:
    named = schema.get("type", "object" if "properties" in schema or not schema else "string")
    return str(named[0] if isinstance(named, list) else named)


def _fit_object(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, prefer: Collection[str]) -> Any:
    properties = schema.get("properties")
    if not properties:
        return {"answer": text}
    return {name: _fit(inner, root, text, prefer) for name, inner in properties.items()}


def _fit_string(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("format") in ("date", "date-time"):
        return "2026-01-01" if schema["format"] == "date" else "2026-01-01T00:00:00Z"
    return text[: schema.get("maxLength", len(text))]


def _fit_number(schema: Mapping[str, Any]) -> float:
    low, high = schema.get("minimum", 0), schema.get("maximum")
    return float(low if high is None else (low + high) / 2)
