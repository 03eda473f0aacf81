"""Results as JSON lines, and as one JSON list."""

from collections.abc import Iterable
from typing import Any, TextIO

from jobs.batches.results import Results
from jobs.core.text import dumps


def write_jsonl(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    for line in _lines(rows):
        out.write(line + "\n")


def write_json(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One list, an object a line; written as the rows come."""
    before = "[\n"
    for line in _lines(rows):
        out.write(before + line)
        before = ",\n"
    out.write("\n]\n" if before == ",\n" else "[]\n")


def _lines(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Rows that are still in the store come out of it as lines."""
    return rows.lines() if isinstance(rows, Results) else map(dumps, rows)
