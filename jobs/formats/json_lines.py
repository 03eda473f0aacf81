"""Results as JSON lines, and as one JSON list."""

from collections.abc import Iterable
from typing import Any, TextIO

from jobs.core.text import dumps


def write_jsonl(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    for row in rows:
        out.write(dumps(row) + "\n")


def write_json(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One list, an object a line; written as the rows come."""
    before = "[\n"
    for row in rows:
        out.write(before + dumps(row))
        before = ",\n"
    out.write("\n]\n" if before == ",\n" else "[]\n")
