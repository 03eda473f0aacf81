"""What is typed as the value of an option or argument: texts, paths, numbers. None is empty by mistake."""

import math
import os
import re
from pathlib import Path
from typing import Any

import click
from click.types import StringParamType

#: More than there are charts, and no more than every store takes.
_MOST = 1_000_000_000

_URL = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://")


def _check_given(value: Any, param: click.Parameter | None, ctx: click.Context | None) -> None:
    if isinstance(value, str) and not value.strip():
        raise click.BadParameter("it is empty: is a variable of your script unset?", ctx, param)


class _Text(StringParamType):
    """A text; an empty or blank one, which must not pass for none or for all, is wrong usage."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _check_given(value, param, ctx)
        return super().convert(value, param, ctx)


class GivenPath(click.Path):
    """A path; an empty one, which Python takes for the working directory, a blank one or a URL is wrong usage."""

    def __init__(self, *, dir_okay: bool = True, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _check_given(value, param, ctx)
        if _URL.match(str(value)) and not os.path.lexists(value):
            self.fail(f"{value!r} is a URL: give a file or folder here; pictures by URL: a requests file", param, ctx)
        return super().convert(value, param, ctx)


class Count(click.IntRange):
    """A whole number from 1 on that can be the number of something here."""

    def __init__(self) -> None:
        super().__init__(min=1)  # the help needs no billion

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number > _MOST:
            self.fail(f"{value} is more than {_MOST:,}.", param, ctx)
        return number


class Number(click.FloatRange):
    """A number within bounds: `nan`, which no bound keeps out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def refuse_blanks(command: click.Command) -> click.Command:
    """The command, with all its texts and those of its sub-commands given or left out. A variable may be empty."""
    for param in command.params:
        if type(param.type) is StringParamType:
            param.type = _Text()
    if isinstance(command, click.Group):
        for one in command.commands.values():
            refuse_blanks(one)
    return command
