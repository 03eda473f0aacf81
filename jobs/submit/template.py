"""A prompt with places for what an answer says: `{text}`, `{custom_id}`, the fields of a structured answer. Pure."""

import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from jobs.core.errors import InputError
from jobs.core.text import dumps

#: What every answer has.
ALWAYS = ("text", "custom_id")


@dataclass(frozen=True)
class Template:
    """Texts, each with the name that is filled in behind it; None at the end."""

    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, template: str, *, known: Collection[str]) -> Self:
        """`{{` is a brace. Raises InputError naming a name that no answer has, or a brace that is alone.

        >>> Template.parse("{{{trend}}} of {custom_id}", known=["trend", "custom_id"]).parts
        (('{', 'trend'), ('}', None), (' of ', 'custom_id'))
        """
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            raise InputError(
                f"the template's braces don't match ({error}): a brace itself is written {{{{ or }}}}"
            ) from None
        for _text, name, spec, conversion in parsed:
            if name is not None and (name not in known or spec or conversion):
                there = ", ".join(f"{{{one}}}" for one in known)
                raise InputError(
                    f"the template names {{{name}}}, and an answer has {there}; a brace itself is written {{{{"
                )
        return cls(tuple((text, name) for text, name, _spec, _conversion in parsed))

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.parts if name is not None}

    def fill(self, values: Mapping[str, Any]) -> str:
        """What is no text goes in as JSON. Braces of values are only text. Raises InputError: a field is missing."""
        missing = self.names - values.keys()
        if missing:
            raise InputError(f"its answer has no {min(missing)!r}")
        return "".join(text + ("" if name is None else _shown(values[name])) for text, name in self.parts)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)
