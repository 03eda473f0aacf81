"""What results can be written as: one small module per format, one table of them all.

FORMATS["html"].write(rows, Path("report.html"), context)
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jobs.formats.compare import COMPARISONS, compare_rows, comparison_format_of, write_comparison
from jobs.formats.csv_table import write_csv
from jobs.formats.files import form_of_ending
from jobs.formats.format import Format, ReportContext, Row, text_format
from jobs.formats.html_report import write_html
from jobs.formats.json_lines import write_json, write_jsonl
from jobs.formats.markdown import write_markdown
from jobs.formats.openai_batch import write_openai, write_openai_text
from jobs.formats.parquet import write_parquet
from jobs.formats.sidecars import write_sidecars
from jobs.schemas import answer_fields

__all__ = [
    "COMPARISONS",
    "FORMATS",
    "Format",
    "ReportContext",
    "Row",
    "compare_rows",
    "comparison_format_of",
    "format_of",
    "write_comparison",
    "write_sidecars",
]

_ALL = (
    text_format(
        "jsonl",
        (".jsonl", ".ndjson"),
        "one JSON object a line",
        lambda rows, out, _context: write_jsonl(rows, out),
    ),
    text_format("json", (".json",), "one JSON list", lambda rows, out, _context: write_json(rows, out)),
    text_format(
        "csv",
        (".csv",),
        "a table for spreadsheets, without the raw replies",
        lambda rows, out, context: write_csv(
            rows, out, answer_fields(context.question), with_source=context.with_source
        ),
        shows_raw=False,
    ),
    text_format(
        "markdown",
        (".md", ".markdown"),
        "a table as GitHub shows it",
        lambda rows, out, context: write_markdown(rows, out, answer_fields(context.question)),
        shows_raw=False,
    ),
    text_format("html", (".html", ".htm"), "one page with every chart and its answer", write_html),
    Format(
        name="parquet",
        suffixes=(".parquet",),
        summary="typed columns for pandas, DuckDB and the like (needs chartq[parquet])",
        writer=write_parquet,
        needs_file=True,
    ),
    Format(
        name="openai",
        suffixes=(),
        summary="the OpenAI Batch API's output file, and NAME.errors.jsonl next to it",
        writer=write_openai,
        needs_file=True,
        write_text=write_openai_text,
    ),
)

#: Every format of `results` by its name.
FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in _ALL})


def format_of(path: Path) -> str | None:
    """The format that a file's name asks for by its ending; None if it has none. Raises InputError for another."""
    endings = {suffix: one.name for one in _ALL for suffix in one.suffixes}
    return form_of_ending(path, endings)
