"""Options and arguments that several commands share."""

import math
from pathlib import Path
from typing import Any

import click

from jobs.cli.completion import complete_batches

_EMPTY = "it is empty: is a variable of your script unset?"


class GivenPath(click.Path):
    """A path; an empty one, which Python takes for the working directory, is wrong usage."""

    def __init__(self, *, dir_okay: bool = True, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail(_EMPTY, param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number within bounds: `nan`, which no bound keeps out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def given(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """What no word stands for is all there is: an empty one, by mistake, must not mean that."""
    if value == "":
        raise click.BadParameter(_EMPTY)
    return value


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
batch_argument = click.argument("batch_id", shell_complete=complete_batches)
#: For commands that only look; see `jobs.cli.newest`.
newest_batch_argument = click.argument("batch_id", required=False, shell_complete=complete_batches)
#: Without it everything is meant: what is given must not be empty by mistake.
model_or_batch_argument = click.argument(
    "model_or_batch", required=False, callback=given, shell_complete=complete_batches
)
