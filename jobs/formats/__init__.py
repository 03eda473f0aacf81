"""What results can be written as: one small module per format, one table of them all.

FORMATS["html"].write(rows, Path("report.html"), context)
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from jobs.core.errors import InputError
from jobs.formats.csv_table import write_csv
from jobs.formats.format import Format, ReportContext, Row
from jobs.formats.json_lines import write_json, write_jsonl
from jobs.formats.markdown import write_markdown
from jobs.formats.openai_batch import write_openai, write_openai_text
from jobs.formats.parquet import write_parquet
from jobs.schemas import answer_fields

__all__ = ["FORMATS", "Format", "ReportContext", "Row", "format_of"]


def _csv(rows: Iterable[Row], out: TextIO, context: ReportContext) -> None:
    write_csv(rows, out, answer_fields(context.question), with_source=context.with_source)


def _markdown(rows: Iterable[Row], out: TextIO, context: ReportContext) -> None:
    write_markdown(rows, out, answer_fields(context.question))


def _html(rows: Iterable[Row], out: TextIO, context: ReportContext) -> None:
    from jobs.formats.html_report import write_html  # its pictures take a library that nothing else here needs

    write_html(rows, out, context)


#: What answers of line after line are over HTTP.
_LINES = "application/x-ndjson"
_ALL = (
    Format(
        name="jsonl",
        media_type=_LINES,
        suffixes=(".jsonl", ".ndjson"),
        write_text=lambda rows, out, _context: write_jsonl(rows, out),
    ),
    Format(
        name="json",
        media_type="application/json",
        suffixes=(".json",),
        write_text=lambda rows, out, _context: write_json(rows, out),
    ),
    Format(name="csv", media_type="text/csv; charset=utf-8", suffixes=(".csv",), write_text=_csv, shows_raw=False),
    Format(
        name="markdown",
        media_type="text/markdown; charset=utf-8",
        suffixes=(".md", ".markdown"),
        write_text=_markdown,
        shows_raw=False,
    ),
    Format(
        name="html",
        media_type="text/html; charset=utf-8",
        suffixes=(".html", ".htm"),
        write_text=_html,
        shows_source=True,
    ),
    Format(
        name="parquet",
        media_type="application/vnd.apache.parquet",
        suffixes=(".parquet",),
        write_files=write_parquet,
    ),
    Format(name="openai", media_type=_LINES, suffixes=(), write_text=write_openai_text, write_files=write_openai),
)

#: Every format of `results` by its name.
FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in _ALL})


def format_of(path: Path, among: Iterable[str] = FORMATS) -> str | None:
    """Which of these a file's name asks for by its ending; None if it has none. Raises InputError for another one."""
    endings = {suffix: name for name in among for suffix in FORMATS[name].suffixes}
    suffix = path.suffix.lower()
    if not suffix or suffix in endings or (path.exists() and not path.is_file()):
        return endings.get(suffix)
    raise InputError(f"{str(path)!r}: nothing here writes {suffix} files, but {', '.join(endings)} (or say --format)")
