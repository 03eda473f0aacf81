"""A group of commands that loads a command's module when it is typed: `--help` waits for no database driver."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


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
        self, name: str, places: Mapping[str, CommandSpec], sections: Mapping[str, Sequence[str]], **options: Any
    ) -> None:
        super().__init__(name, commands=_Commands(places), **options)
        self._places, self._sections = places, sections

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By what one does with them, without loading them all."""
        column = max(map(len, self._places))
        for title, names in self._sections.items():
            rows = [(f"{name:{column}}", self._places[name].summary) for name in names if name in self._places]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class _Commands(MutableMapping[str, click.Command]):
    """Commands by their names, each loaded when it is looked up first."""

    def __init__(self, places: Mapping[str, CommandSpec]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = load(self._places[name].where)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._places.setdefault(name, CommandSpec("", ""))
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places
