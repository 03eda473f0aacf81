"""Results as JSON lines."""

from collections.abc import Iterable
from typing import Any, TextIO

from jobs.core.text import dumps


def write_jsonl(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    """One JSON object a line."""
    for row in rows:
        out.write(dumps(row) + "\n")
