"""How commands speak: data on stdout, everything else on stderr, nothing coloured on a pipe."""

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

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
)

#: What a spreadsheet would take for a formula at the start of a cell (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def messages() -> Console:
    """Where people are told things."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for people, on stderr."""
    messages().print(text, markup=False)


def dumps(document: Any) -> str:
    """One line of JSON; characters that can't be encoded (odd file names) are escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(", ", ": "))
    return text.encode("utf-8", "backslashreplace").decode()


def print_data(text: str) -> None:
    """A line of data, on stdout."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def write_jsonl(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    for row in rows:
        out.write(dumps(row) + "\n")


def write_csv(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """A table with a header; cells that a spreadsheet would run are disarmed."""
    writer = csv.DictWriter(out, _CSV_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in _CSV_FIELDS})


FORMATS: dict[str, Callable[[Iterable[dict[str, Any]], TextIO], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
}


@contextmanager
def data_file(path: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears at `path` whole or not at all."""
    if path is None:
        yield _Utf8Stdout()
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
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


class _Utf8Stdout(io.StringIO):
    """Writes through to stdout whatever its locale's encoding is."""

    def write(self, text: str) -> int:
        sys.stdout.flush()
        return sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return dumps(value)
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    return value
