"""A value that fits a JSON schema: enough of JSON Schema for structured answers to be rehearsed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

#: A schema may refer to itself: from this depth on what may be left out is left out, and at the last one all is.
_DEEP, _TOO_DEEP = 4, 9

#: How often a reference or a choice is opened.
_MAX_OPENED = 8


def fit(schema: Mapping[str, Any], text: str, prefer: Collection[str] = (), *, short: str | None = None) -> Any:
    """The plainest value that fits; `text` where any string does, a word of `prefer` where an enum has it.

    `short`, if given, is said instead of `text` in lists and in objects of objects.
    """
    return _Filler(root=schema, text=text, prefer=prefer, short=text if short is None else short).fit(schema)


@dataclass(frozen=True, kw_only=True)
class _Filler:
    root: Mapping[str, Any]
    text: str
    short: str
    prefer: Collection[str]

    def fit(self, schema: Any, depth: int = 0) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return next((one for one in schema["enum"] if str(one).lower() in self.prefer), schema["enum"][0])
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema, self.text if depth < 2 else self.short)
            case "integer":
                return int(_number(schema, whole=True))
            case "number":
                return _number(schema)
            case "boolean":
                return True
            case _:
                return None

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """Follow `$ref` within the document and take the first way of `anyOf`, as pydantic's schemas need."""
        for _ in range(_MAX_OPENED):
            if not isinstance(schema, dict):
                return {"type": "null"} if schema is False else {"type": "string"}
            if "$ref" in schema:
                schema = _referred(str(schema["$ref"]), self.root)
            elif ways := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                schema = ways[0]
            else:
                break
        return schema if isinstance(schema, dict) else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> Any:
        properties = schema.get("properties")
        if not properties:
            return {"answer": self.text} if schema.get("additionalProperties", True) is not False else {}
        if depth >= _TOO_DEEP:
            return {}
        wanted = schema.get("required", ()) if depth >= _DEEP else properties
        return {name: self.fit(properties.get(name, {}), depth + 1) for name in wanted}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fewest, most = schema.get("minItems", 0), schema.get("maxItems", 1)
        count = max(fewest, 0 if depth >= _DEEP else min(1, most))
        first = [self.fit(one, depth + 1) for one in schema.get("prefixItems", ())]
        return first + [self.fit(schema.get("items", {}), depth + 2) for _ in range(count - len(first))]


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    place: Any = root
    for key in reference.removeprefix("#").split("/")[1:]:
        place = place.get(key, {}) if isinstance(place, dict) else {}
    return place


def _type_of(schema: Mapping[str, Any]) -> str:
    named = schema.get("type", "object" if "properties" in schema or not schema else "string")
    if isinstance(named, list):
        return str(next((one for one in named if one != "null"), "null"))
    return str(named)


def _string(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("format") in ("date", "date-time"):
        return "2026-01-01" if schema["format"] == "date" else "2026-01-01T00:00:00Z"
    return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), ".")


def _number(schema: Mapping[str, Any], *, whole: bool = False) -> float:
    """The middle of what fits, or the one end that it has; zero if it has none."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        middle = (low + high) / 2
        return ceil(low) if whole and not low <= floor(middle) else floor(middle) if whole else float(middle)
    step = 1 if "exclusiveMinimum" in schema or "exclusiveMaximum" in schema else 0
    if low is not None:
        return float(ceil(low) if whole else low) + step
    return 0.0 if high is None else float(min(0, floor(high) - step))
