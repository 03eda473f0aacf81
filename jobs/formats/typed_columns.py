"""Fields of structured answers as typed columns."""

from collections.abc import Callable, Sequence
from typing import Any

from jobs.core.text import dumps, encodable
from jobs.formats.format import Row
from jobs.schemas import Field

#: Name, the type's name, and where the value comes from.
Column = tuple[str, str, Callable[[Row], Any]]


def answer_columns(fields: Sequence[Field]) -> list[Column]:
    """A column per field, of the type that the schema says."""
    return [(encodable(one.column), one.type + "[]" * one.many, _answer_value(one)) for one in fields]


def _answer_value(field: Field) -> Callable[[Row], Any]:
    """As the column's type has it. Answers are checked, but a worker of another age may have let one pass."""
    convert = _CONVERSIONS[field.type]

    def value(row: Row) -> Any:
        found = field.value(row.get("answer"))
        if field.many:
            return [convert(one) for one in found] if isinstance(found, list) else None
        return convert(found)

    return value


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) and abs(value) <= _MAX_DOUBLE else None


def _integer(value: Any) -> int | None:
    return int(value) if _is_number(value) and -(2**63) <= value < 2**63 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MAX_DOUBLE = 1.7e308

#: From a JSON value to the column's; what doesn't fit is null there, and still stands in `text`.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: encodable(value) if isinstance(value, str) else None,
    "number": _number,
    "integer": _integer,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "json": lambda value: None if value is None else dumps(value),
}
