"""What rich draws: tables, panels, progress. Apart from `jobs.cli.output`, since a worker draws nothing (4 MB)."""

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Wide enough for any table: on a pipe nothing is cut or folded.
_PIPE_COLUMNS = 2000


def messages() -> "Console":
    """Where people are told things."""
    return _console(sys.stderr)


def print_table(table: "Table", *, pipe_columns: int = _PIPE_COLUMNS) -> None:
    """A table for people, on stdout."""
    _console(sys.stdout, pipe_columns=pipe_columns).print(table)


def is_fancy(stream: TextIO) -> bool:
    """A terminal that wants colours and signs."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def _console(stream: TextIO, *, pipe_columns: int | None = None) -> "Console":
    """Rich, which takes no text for markup, and colours nothing but a terminal that wants it (no FORCE_COLOR)."""
    from rich.console import Console  # 40 ms, for who draws

    fancy = is_fancy(stream)
    return Console(
        file=stream,
        force_terminal=fancy,
        color_system="auto" if fancy else None,
        width=None if stream.isatty() else pipe_columns,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=stream is sys.stderr,
    )
