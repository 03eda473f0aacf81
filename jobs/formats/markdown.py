"""Results as a table in GitHub's Markdown; nothing in a cell is Markdown or HTML of its own."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from jobs.core.text import dumps
from jobs.formats.format import Row
from jobs.formats.rows import outcome_text, shown, tokens_of
from jobs.schemas import Field

#: What Markdown would take for markup: an image in an answer, say, would be fetched by whoever reads the table.
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")


def write_markdown(rows: Iterable[Row], out: TextIO, fields: Sequence[Field]) -> None:
    """A row per chart; a structured answer has a column per field; an error stands in the place of the answer."""
    answers = [cell(field.name) for field in fields] or ["answer"]
    out.write(table_head(["chart", "status", *answers, "tokens", "seconds"], aligned=f"ll{'l' * len(answers)}rr"))
    for row in rows:
        prompt, completion = tokens_of(row)
        tokens = "" if prompt is None and completion is None else str((prompt or 0) + (completion or 0))
        latency_s = row["latency_s"]
        seconds = "" if latency_s is None else f"{latency_s:.1f}"
        out.write(table_row([cell(row["custom_id"]), row["status"], *_answer(row, fields), tokens, seconds]))


def _answer(row: Row, fields: Sequence[Field]) -> list[str]:
    answer = row.get("answer")
    if not isinstance(answer, dict):
        return [cell(outcome_text(row)), *[""] * (len(fields) - 1)]
    return [cell(_words(field.value(answer))) for field in fields] or [cell(outcome_text(row))]


def _words(value: Any) -> str:
    """A field's value for people: of a list its entries."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return value if isinstance(value, str) else dumps(value)


def table_head(names: Sequence[str], *, aligned: str) -> str:
    """The first two lines; `aligned` has an l or r per column."""
    return table_row(names) + table_row(["---:" if side == "r" else "---" for side in aligned])


def table_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def cell(text: str) -> str:
    """Text that a table shows as it is: one line, markup and HTML disarmed."""
    safe = shown(text).strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", safe).replace("\n", "<br>").replace("\t", " ")
