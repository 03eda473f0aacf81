"""No regular expression of ours backtracks over what a model, a server or a user wrote: 200 kB of its worst text."""

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest

import jobs
import worker
from jobs.formats.components import prose
from jobs.formats.rows import fields_of

SIZE = 200_000

#: What expressions with nested or overlapping repetitions choke on.
PIECES = [
    *(" ", "\n", "\t", "`", "```", "```json\n", "*", "**", "**a ", "a", "A1", "0", "1.", "1,", "9/", "/", "a/", "a.b-"),
    *("~", "<", "<a", "<title", "<!-", '"', "'", "`x", "{", "{1,", "}", "[", "\\", "\\u00", "&#10;", "%", "%2", "x:"),
    *("http://", "try again in 1", "loading ", "-", "_", "é", "\x80", "\ufeff", ";=", "\r\n-", "data:", "\xff", "h1m"),
]

#: Seconds: a linear expression takes a tenth, a quadratic one hours.
MOST_S = 20.0


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


@cache
def expressions() -> "dict[str, re.Pattern[str]]":
    return {
        f"{module.__name__}.{name}": value
        for package in (jobs, worker)
        for module in modules(package)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str)
    }


def test_there_are_expressions_to_look_at() -> None:
    assert len(expressions()) > 20


@pytest.mark.parametrize("piece", PIECES)
def test_every_expression_is_linear_in_what_others_wrote(piece: str) -> None:
    text = piece * (SIZE // len(piece)) + "!"
    for name, expression in expressions().items():
        began = time.process_time()
        expression.search(text)
        expression.fullmatch(text)
        expression.sub("", text)
        assert time.process_time() - began < MOST_S, f"{name} on {piece!r}"


@pytest.mark.parametrize("piece", PIECES)
def test_answers_are_shown_in_time_linear_in_their_length(piece: str) -> None:
    fenced = "```json\n" + piece * (SIZE // len(piece)) + "\nno end"
    began = time.process_time()
    assert fields_of(fenced) is None
    fields_of("```json\n" + "\n" * SIZE + "{}\n```")
    prose(fenced)
    assert time.process_time() - began < MOST_S
