"""Markdown tables, on stdout and in docs/benchmarks.md between markers."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.venvs import ROOT

_PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; `below` are sentences about them."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ()

    def markdown(self) -> str:
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *self.below])


def write_down(section: str, text: str) -> None:
    """Put `text` in the place of what the page showed for this section."""
    page = _PAGE.read_text("utf-8")
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    new, count = re.subn(f"{start}.*?{end}", lambda _: f"{start}{text}\n{end}", page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{_PAGE} has no place for {section}")
    _PAGE.write_text(new, "utf-8")


def say(text: str) -> None:
    """For whoever waits."""
    print(text, file=sys.stderr, flush=True)
