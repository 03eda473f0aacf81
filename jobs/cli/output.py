"""How commands speak: data on stdout, everything else on stderr, nothing coloured on a pipe."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from jobs.core.text import encodable, visible


def say(text: str) -> None:
    """A line for people, on stderr, if somebody is there to read it."""
    with suppress(BrokenPipeError):
        click.echo(visible(text), err=True)


def print_data(text: str) -> None:
    """A line of data, on stdout."""
    sys.stdout.write(encodable(text) + "\n")


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
    with suppress(io.UnsupportedOperation):  # no stream of the system's: another program runs us within itself
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
