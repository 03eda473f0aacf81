"""Results as Parquet: typed columns, written in row groups, so that memory does not grow with the batch."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.core.errors import InstallationError
from jobs.core.pages import pages
from jobs.core.text import dumps, encodable
from jobs.formats.files import whole_file
from jobs.formats.format import ReportContext, Row
from jobs.schemas import Field, answer_fields

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]  # it ships no types

#: Rows per row group: enough to compress well, and with replies of 5 kB still only 10 MB in memory.
_GROUP_ROWS = 2_000

#: Name, the type's name (Arrow's, or of a field JSON Schema's), and where the value comes from.
Column = tuple[str, str, Callable[[Row], Any]]


def _plain(name: str) -> Callable[[Row], Any]:
    return lambda row: encodable(row[name]) if isinstance(row[name], str) else row[name]


def _inside(name: str, key: str) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        found = (row[name] or {}).get(key)
        return encodable(found) if isinstance(found, str) else found

    return value


def _image(row: Row) -> str | None:
    """A path; several are a JSON list, as in CSV."""
    image = row["image"]
    return encodable(image) if isinstance(image, str) else image and dumps(image)


def _sent(key: str) -> Callable[[Row], Any]:
    """Of one picture; several have no one size."""
    return lambda row: row["sent"][key] if isinstance(row.get("sent"), dict) else None


def _finished_at(row: Row) -> datetime | None:
    return datetime.fromisoformat(row["finished_at"]) if row["finished_at"] else None


def _raw(row: Row) -> str | None:
    return None if row["raw"] is None else dumps(row["raw"])


#: A result's own columns. The reply, of any shape, is JSON text.
_COLUMNS: tuple[Column, ...] = (
    ("job_id", "string", _plain("job_id")),
    ("custom_id", "string", _plain("custom_id")),
    ("image", "string", _image),
    ("model", "string", _plain("model")),
    ("prompt", "string", _plain("prompt")),
    ("status", "string", _plain("status")),
    ("text", "string", _plain("text")),
    ("error_type", "string", _inside("error", "type")),
    ("error_message", "string", _inside("error", "message")),
    ("error_status_code", "int64", _inside("error", "status_code")),
    ("attempts", "int64", _plain("attempts")),
    ("throttled", "int64", _plain("throttled")),
    ("prompt_tokens", "int64", _inside("usage", "prompt_tokens")),
    ("completion_tokens", "int64", _inside("usage", "completion_tokens")),
    ("latency_s", "double", _plain("latency_s")),
    ("request_id", "string", _plain("request_id")),
    ("provider", "string", _plain("provider")),
    ("finished_at", "timestamp", _finished_at),
    ("finish_reason", "string", lambda row: row.get("finish_reason")),
    ("sent_format", "string", _sent("format")),
    ("sent_width", "int64", _sent("width")),
    ("sent_height", "int64", _sent("height")),
    ("sent_bytes", "int64", _sent("bytes")),
    ("raw", "string", _raw),
)


def write_parquet(rows: Iterable[Row], path: Path, context: ReportContext) -> list[Path]:
    """Write the file. Raises InstallationError without pyarrow."""
    arrow, parquet = _pyarrow()
    answers = _answer_columns(answer_fields(context.question))
    schema = arrow.schema([(name, _arrow_type(arrow, kind)) for name, kind, _ in (*_COLUMNS, *answers)])
    with (
        whole_file(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in pages(rows, _GROUP_ROWS):
            columns = {name: [value(row) for row in group] for name, _, value in (*_COLUMNS, *answers)}
            writer.write_table(arrow.table(columns, schema=schema), row_group_size=_GROUP_ROWS)
    return [path]


def _pyarrow() -> "tuple[Any, Any]":
    """The library, loaded only by who asks for Parquet: it is large, and an extra."""
    try:
        import pyarrow
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise InstallationError(
            "Parquet files need pyarrow, which is not installed: pip install 'chartq[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet


def _arrow_type(arrow: Any, kind: str) -> "pyarrow.DataType":
    types = {
        "string": arrow.string(),
        "int64": arrow.int64(),
        "double": arrow.float64(),
        "timestamp": arrow.timestamp("ms", tz="UTC"),
        # A field's types, as JSON Schema calls them.
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "json": arrow.string(),
    }
    plain = types[kind.removesuffix("[]")]
    return arrow.list_(plain) if kind.endswith("[]") else plain


def _answer_columns(fields: Sequence[Field]) -> list[Column]:
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
