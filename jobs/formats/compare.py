"""`chartq compare A B`: two batches' answers side by side, as a page or as a table."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from jobs.core.text import dumps
from jobs.formats import format_of
from jobs.formats.compared_batch import ComparedBatch, sides
from jobs.formats.csv_table import csv_line, spreadsheet_cell
from jobs.formats.files import data_file
from jobs.formats.format import ReportContext, Row
from jobs.formats.markdown import cell, table_head, table_row
from jobs.formats.pairs import OUTCOMES, Pairs, compare_rows
from jobs.formats.rows import outcome_text

#: What a comparison keeps of each row in a table.
_SIDE_FIELDS = ("job_id", "model", "status", "text", "error", "usage", "latency_s")


def write_comparison(
    a_rows: Iterable[Row], b_rows: Iterable[Row], a: ReportContext, b: ReportContext, path: Path | None, form: str
) -> Mapping[str, int]:
    """Write the comparison to `path`, whole or not at all, or to stdout; `form` is a key of COMPARISONS.

    Returns how many pairs `differ`, are the `same`, have `one` answer or `none`. Raises StoreError, OSError.
    """
    with data_file(path) as out:
        return compare(a_rows, b_rows, a, b, out, form)


def compare(
    a_rows: Iterable[Row], b_rows: Iterable[Row], a: ReportContext, b: ReportContext, out: TextIO, form: str
) -> Mapping[str, int]:
    """The same into a file that is open."""
    with compare_rows(a_rows, b_rows) as pairs:
        COMPARISONS[form](pairs, out, *sides(a, b))
        return {str(outcome): count for outcome, count in pairs.counts.items()}


def comparison_format_of(path: Path) -> str | None:
    """The form that a file's name asks for by its ending; None if it has none. Raises InputError for another."""
    return format_of(path, COMPARISONS)


def _html(pairs: Pairs, out: TextIO, a: ComparedBatch, b: ComparedBatch) -> None:
    from jobs.formats.html_comparison import write_html_comparison  # its pictures take a library that tables don't

    write_html_comparison(pairs, out, a, b)


def _csv(pairs: Pairs, out: TextIO, _a: ComparedBatch, _b: ComparedBatch) -> None:
    names = ["custom_id", "outcome", *(f"{side}_{field}" for side in "ab" for field in _SIDE_FIELDS)]
    out.write(csv_line(names))
    for pair in pairs:
        cells = [row[field] if row else None for row in (pair.a, pair.b) for field in _SIDE_FIELDS]
        out.write(csv_line([spreadsheet_cell(value) for value in (pair.custom_id, pair.outcome, *cells)]))


def _markdown(pairs: Pairs, out: TextIO, a: ComparedBatch, b: ComparedBatch) -> None:
    out.write(table_head(("chart", "", f"A: {cell(a.name)}", f"B: {cell(b.name)}"), aligned="llll"))
    for pair in pairs:
        texts = (cell(outcome_text(row)) if row else "" for row in (pair.a, pair.b))
        out.write(table_row([cell(pair.custom_id), OUTCOMES[pair.outcome], *texts]))


def _jsonl(pairs: Pairs, out: TextIO, _a: ComparedBatch, _b: ComparedBatch) -> None:
    for pair in pairs:
        out.write(dumps({"custom_id": pair.custom_id, "outcome": pair.outcome, "a": pair.a, "b": pair.b}) + "\n")


#: The forms of a comparison by name.
COMPARISONS: Mapping[str, Callable[[Pairs, TextIO, ComparedBatch, ComparedBatch], Any]] = MappingProxyType(
    {"html": _html, "csv": _csv, "markdown": _markdown, "jsonl": _jsonl}
)
