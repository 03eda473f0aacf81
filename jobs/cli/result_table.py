"""Results as people read them in a terminal: chart, state, answer."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table

from jobs.cli.console import print_table
from jobs.core.pages import pages
from jobs.core.text import beginning, label
from jobs.formats.format import Row
from jobs.formats.rows import outcome_text

#: Rows that are laid out together: a table of any length starts at once and stays small in memory.
_PAGE = 20

#: How to see all of a text that is too long for a table.
_REST = " (all of it: --format jsonl)"

#: Characters of a chart's name: the longest path that systems take is no reason to fill a screen.
_NAME_CHARS = 1000


def print_results(rows: Iterable[Row]) -> None:
    """Print them as they are read."""
    for number, page in enumerate(pages(rows, _PAGE)):
        print_table(_table(page, heads=number == 0))


def _table(rows: list[Row], *, heads: bool) -> Table:
    table = Table(box=None, show_header=heads, expand=True, pad_edge=False)
    table.add_column("chart", ratio=2, overflow="fold")
    table.add_column("status", width=9)
    with_source = "source_text" in rows[0]
    if with_source:
        table.add_column("asked about", ratio=3, overflow="fold")
    table.add_column("answer", ratio=5, overflow="fold")
    for row in rows:
        told = [row["source_text"] or ""] if with_source else []
        texts = [beginning(text, _REST) for text in (*told, answer_words(row))]
        table.add_row(label(row["custom_id"], _NAME_CHARS), row["status"], *texts)
    return table


def answer_words(row: Row) -> str:
    """The answer, a structured one as `trend: up · confidence: 0.8`; else what went wrong."""
    answer = row.get("answer")
    if isinstance(answer, dict):
        return " · ".join(f"{label(name)}: {value}" for name, value in _told(answer))
    return outcome_text(row).strip()


def _told(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in answer.items():
        if value not in (None, "", []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield name, " ".join(shown.split())
