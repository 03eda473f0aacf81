"""What is typed as a value: an empty one never passes for none, or for all. No command is started here, only parsed."""

from collections.abc import Iterator
from copy import copy

import click
import pytest
from support.producer import command_of, names_of

from jobs.cli.values import refuse_blanks
from worker.main import chartq
from worker.rehearsal.__main__ import main as rehearsal


def values_of(name: str, command: click.Command) -> Iterator[tuple[str, click.Command, click.Parameter]]:
    """The options and arguments that take a value, also of sub-commands."""
    for param in command.params:
        if not (isinstance(param, click.Option) and (param.is_flag or param.count)):
            yield name, command, param
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from values_of(f"{name} {one.name}", one)


def line_with(command: click.Command, param: click.Parameter, value: str) -> list[str]:
    """The words of a command line with this value, and before it what must stand there."""
    if isinstance(param, click.Option):
        return [param.opts[0], value]
    before = command.params[: command.params.index(param)]
    return [*("a" for one in before if isinstance(one, click.Argument)), value]


def parse(command: click.Command, words: list[str]) -> None:
    """A copy does: click keeps what it found out about a command that stands alone, such as how help is asked for."""
    copy(command).make_context(command.name, words)


ALL = [
    *(value for name in names_of(chartq) for value in values_of(name, command_of(chartq, name))),
    *values_of("python -m worker.rehearsal", rehearsal),
]


@pytest.mark.parametrize(
    ("command", "param"), [pytest.param(command, param, id=f"{name} {param.name}") for name, command, param in ALL]
)
@pytest.mark.parametrize("value", ["", " \t"], ids=["empty", "blank"])
def test_an_empty_value_is_wrong_usage_of_what_it_was_given_for(
    command: click.Command, param: click.Parameter, value: str
) -> None:
    with pytest.raises(click.BadParameter) as refused:
        parse(command, line_with(command, param, value))
    assert (refused.value.param, refused.value.exit_code) == (param, 2)
    assert not isinstance(refused.value, click.MissingParameter)


@pytest.mark.parametrize(
    ("command", "param"),
    [
        pytest.param(command, param, id=f"{name} {param.name}")
        for name, command, param in ALL
        if isinstance(param.type, click.types.IntParamType) and command is not rehearsal
    ],
)
def test_a_whole_number_is_one_that_every_store_takes(command: click.Command, param: click.Parameter) -> None:
    with pytest.raises(click.BadParameter) as refused:
        parse(command, line_with(command, param, "9" * 20))
    assert refused.value.param is param


def test_an_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    command = refuse_blanks(click.Command("ask", params=[click.Option(["--name"], envvar="CHARTQ_TEST_NAME")]))
    for value, name in (("", None), ("ann", "ann")):
        monkeypatch.setenv("CHARTQ_TEST_NAME", value)
        assert command.make_context("ask", []).params == {"name": name}
