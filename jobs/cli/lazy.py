"""A group of commands that loads a command's module when it is typed: `--help` waits for no database driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.values import refuse_blanks

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class CommandSpec:
    """Where a command stands, as `module:name`, and what it does, in a line."""

    where: str
    summary: str


def load(where: str) -> Any:
    """What stands at `module:name`."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


class LazyGroup(click.Group):
    """A click group of commands that are named, not loaded."""

    def __init__(
        self, name: str, specs: Mapping[str, CommandSpec], sections: Mapping[str, Sequence[str]], **options: Any
    ) -> None:
        super().__init__(name, **options)
        self._specs, self._sections = specs, sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._specs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        spec = self._specs.get(cmd_name)
        return None if spec is None else refuse_blanks(load(spec.where))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Commands that begin so, without loading them all, and options."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=self._specs[name].summary) for name in names]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By what one does with them, without loading them all."""
        column = max(map(len, self._specs))
        for title, names in self._sections.items():
            rows = [(f"{name:{column}}", self._specs[name].summary) for name in names if name in self._specs]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
