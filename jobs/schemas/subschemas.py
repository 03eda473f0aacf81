"""Every schema within a schema, by the places where JSON Schema has them."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from jobs.core.errors import SchemaError

#: Keywords whose value is a schema or a list of them, and those whose value holds schemas by name.
_SCHEMAS = (
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BY_NAME = ("$defs", "definitions", "dependencies", "dependentSchemas", "properties")

#: They lead elsewhere, or make `#/...` mean something else from there on.
_REFUSED = {
    "$dynamicRef": "write a $ref to '#/...'",
    "$recursiveRef": "write a $ref to '#/...'",
    "patternProperties": "fields need names: list them under properties",
}


def subschemas(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The root and all below it and referred to, each once. Raises SchemaError for what chartq doesn't follow."""
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, list):
            waiting.extend(schema)
        elif isinstance(schema, Mapping) and id(schema) not in seen:
            seen.add(id(schema))
            _check(schema, is_root=schema is root)
            yield schema
            waiting.extend(schema[keyword] for keyword in _SCHEMAS if keyword in schema)
            for keyword in _BY_NAME:
                waiting.extend(_values(schema.get(keyword)))
            if "$ref" in schema:
                waiting.append(referred(root, schema["$ref"]))


def referred(root: Mapping[str, Any], reference: Any) -> Any:
    """What `#/...` means in this schema. Raises SchemaError: it leads elsewhere, or nowhere."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(
            f"the schema refers to {reference!r}: nothing is fetched from elsewhere, so put it under $defs "
            "and refer to '#/$defs/NAME'"
        )
    place: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            place = place[int(key)] if isinstance(place, list) else place[key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise SchemaError(f"the schema refers to {reference!r}, which is not in it") from None
    return place


def _check(schema: Mapping[str, Any], *, is_root: bool) -> None:
    for keyword, advice in _REFUSED.items():
        if keyword in schema:
            raise SchemaError(f"the schema uses {keyword}, which chartq doesn't check: {advice}")
    if "$id" in schema and not is_root:
        raise SchemaError("the schema has an $id below its root, which chartq doesn't follow: leave it out")


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else []
