"""Standard streams as this process was given them, made fit: closed ones lead nowhere, and stderr fails nothing.

What people are told may end up on a full disk, a terminal that is gone or a pipe that nobody reads any more. No
submit is left half-done, and no paid call is cut, because of that. Data on stdout is another matter: there a failure
is the command's.
"""

import io
import os
import sys
from typing import Any


def mend_streams() -> None:
    """To be called before any file is opened: it would get a closed stream's number, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        given = sys.stderr
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Unfailing(2, "w", closefd=False)),
            encoding=given.encoding if given else "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )


class _Unfailing(io.FileIO):
    """A file that takes everything; what can't be written is lost."""

    def write(self, data: Any, /) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return len(memoryview(data).cast("B")) if written is None else written
