"""Progress for people: one line that is renewed in a terminal, a line every few seconds on a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.core.text import beginning

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two lines on a pipe.
_PIPE_EVERY_S = 5.0

Show = Callable[[str], None]


@contextmanager
def shown(console_of: "Callable[[], Console]", *, quiet: bool = False) -> Iterator[Show]:
    """A function that shows a line of progress; the last one shown replaces the one before.

    The console, and with it the library that draws, is asked for only if there will be something to show.
    """
    if quiet:
        yield lambda _line: None
        return
    from rich.status import Status
    from rich.text import Text

    console = console_of()
    if console.is_terminal:  # and wants colours: see jobs.cli.console
        with Status("", console=console) as status:
            yield lambda line: status.update(Text(beginning(line)))
    else:
        yield _every_few_seconds(console)


def _every_few_seconds(console: "Console") -> Show:
    last_at = float("-inf")

    def show(line: str) -> None:
        nonlocal last_at
        if time.monotonic() - last_at >= _PIPE_EVERY_S:
            last_at = time.monotonic()
            console.print(beginning(line))

    return show
