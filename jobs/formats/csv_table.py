"""Results as CSV, safe to open in a spreadsheet."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, TextIO

from jobs.core.text import dumps, encodable
from jobs.schemas import Field

#: What one reads comes first: the chart, how it went, the answer; fields of structured answers follow.
_FIRST_FIELDS = ("custom_id", "status", "text")

#: A result's other fields without `raw`; `usage` as it is in JSON, and before it as plain columns.
_CSV_FIELDS = (
    "image",
    "model",
    "prompt",
    "error",
    "attempts",
    "throttled",
    "prompt_tokens",
    "completion_tokens",
    "latency_s",
    "request_id",
    "provider",
    "finished_at",
    "rehearsal",
    "finish_reason",
    "usage",
    "sent",
    "job_id",
)

#: What a spreadsheet would take for a formula at the start of a cell (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

#: What a spreadsheet that separates cells by semicolons or tabs, or takes each line feed for the end of a row, would
#: take for one in the middle of ours; `- ` at the start of a line is a list's.
_FORMULA_WITHIN = re.compile("([;\t])(?=[=+@＝＋－＠-])|([\r\n])(?=[=+@＝＋－＠]|-(?! ))")

#: No cell begins with one of _FORMULA_STARTS, nor has _FORMULA_WITHIN, in a line without any of these: but for dashes,
#: which stand in every line, wherever they are. In a line a cell begins behind a comma, or behind that and a quote.
_MARKS = (*"=+@\t\r＝＋－＠", *(f"{before}-" for before in ",;\n"), ',"-', ',"\n')

#: Values that are cells as they are. A bool is none.
_PLAIN = {str, int, float, type(None)}

_TRUTH = {True: "true", False: "false"}

_NO_TOKENS = {"prompt_tokens": None, "completion_tokens": None}

#: Columns more where rows tell the answer that they ask about.
_SOURCE_FIELDS = ("source_job_id", "source_text", "source_image")


def write_csv(
    rows: Iterable[dict[str, Any]], out: TextIO, fields: Sequence[Field] = (), *, with_source: bool = False
) -> None:
    """A table with a header; a column for each field of structured answers; no cell is a spreadsheet's formula."""
    names = (*_CSV_FIELDS, *_SOURCE_FIELDS) if with_source else _CSV_FIELDS
    line_of = _line_maker()
    out.write(line_of([*_FIRST_FIELDS, *(spreadsheet_cell(field.column) for field in fields), *names]))
    cells, place = itemgetter(*_FIRST_FIELDS, *names), len(_FIRST_FIELDS)
    for row in rows:
        values = [*cells(row | _token_cells(row["usage"]))]
        if fields:
            values[place:place] = [field.value(row["answer"]) for field in fields]
        out.write(_disarmed_line(line_of, values))


def _token_cells(usage: dict[str, int | None] | None) -> dict[str, Any]:
    """What an answer took, as plain columns and as it is in JSON."""
    if usage is None:
        return _NO_TOKENS
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    text = f'{{"prompt_tokens": {prompt}, "completion_tokens": {completion}}}'.replace("None", "null")
    return {**usage, "usage": text}


def _disarmed_line(line_of: Callable[[Iterable[Any]], str], values: Sequence[Any]) -> str:
    """The line of these cells; most hold nothing that any of them could need to be looked at for."""
    line = line_of([value if type(value) in _PLAIN else _json(value) for value in values])
    if any(map(f",{line}".__contains__, _MARKS)):
        return line_of(map(spreadsheet_cell, values))
    return line if line.isascii() else encodable(line)


def _json(value: Any) -> str:
    return _TRUTH[value] if isinstance(value, bool) else dumps(value)


def csv_line(cells: Iterable[Any]) -> str:
    return _line_maker()(cells)


def _line_maker() -> Callable[[Iterable[Any]], str]:
    """`csv_line`, for many lines."""
    # Python quotes the characters of the line's end, and a lone \r must be quoted too; lines end as Unix has it.
    writerow = csv.writer(_Echo, lineterminator="\r\n").writerow
    return lambda cells: writerow(cells)[:-2] + "\n"


class _Echo:
    """A file for `csv`, whose writer returns what the file's `write` does: the line."""

    write = str


def spreadsheet_cell(value: Any) -> Any:
    """A value as a cell of CSV that no spreadsheet takes for a formula; what is no plain value is JSON."""
    if isinstance(value, dict | list | bool):
        return dumps(value)
    if isinstance(value, str):
        text = encodable(value)
        text = f"'{text}" if text.startswith(_FORMULA_STARTS) else text
        return _FORMULA_WITHIN.sub(lambda match: f"{match[0]}'", text)
    return value
