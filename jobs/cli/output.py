"""How commands speak: data on stdout, everything else on stderr, nothing coloured on a pipe."""

import csv
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from jobs.schemas import Field

#: Columns of the CSV: a result's fields without `raw`, errors and usage flattened.
_CSV_FIELDS = (
    "job_id",
    "custom_id",
    "image",
    "model",
    "prompt",
    "status",
    "text",
    "error",
    "attempts",
    "throttled",
    "usage",
    "latency_s",
    "request_id",
    "provider",
    "finished_at",
    "rehearsal",
)

#: What a spreadsheet would take for a formula at the start of a cell (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

#: What a terminal would obey instead of showing; line feeds and tabs may stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def say(text: str) -> None:
    """A line for people, on stderr, if somebody is there to read it."""
    with suppress(BrokenPipeError):
        click.echo(visible(text), err=True)


def visible(text: str) -> str:
    """`text` with control characters, of a file's name or of an answer, spelled out."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def dumps(document: Any) -> str:
    """One line of JSON; characters that can't be encoded (odd file names) are escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(", ", ": "))
    return text.encode("utf-8", "backslashreplace").decode()


def print_data(text: str) -> None:
    """A line of data, on stdout."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """For commands that only show: who reads stdout and leaves early has got all it wanted."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def silence_stdout() -> None:
    """Whoever read us has had enough (`| head`); Python would complain once more when it leaves."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_jsonl(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    for row in rows:
        out.write(dumps(row) + "\n")


def write_csv(rows: Iterable[dict[str, Any]], out: TextIO, fields: Sequence[Field] = ()) -> None:
    """A table with a header, behind it a column per field of structured answers; no cell is a spreadsheet's formula."""
    out.write(csv_line([*_CSV_FIELDS, *(spreadsheet_cell(field.column) for field in fields)]))
    for row in rows:
        answer = row.get("answer")
        values = [*(row[name] for name in _CSV_FIELDS), *(field.value(answer) for field in fields)]
        out.write(csv_line(map(spreadsheet_cell, values)))


def csv_line(cells: Iterable[Any]) -> str:
    """A line of CSV."""
    # Python quotes the characters of the line's end, and a lone \r must be quoted too; lines end as Unix has it.
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


@contextmanager
def data_file(path: Path | None) -> Iterator[TextIO]:
    """Stdout (`None` or `-`), or a file that appears at `path` whole or not at all. Raises OSError."""
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    if path.exists() and not path.is_file():  # a device or a pipe, /dev/stdout say: it stays what it is
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".chartq-", suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def spreadsheet_cell(value: Any) -> Any:
    """A value as a cell of CSV that no spreadsheet takes for a formula; what is no plain value is JSON."""
    if isinstance(value, dict | list | bool):
        return dumps(value)
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    return value
