"""What a batch's answers say, taken together: how often each value was given, and what all of it cost. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.batches.shapes import TotalUsageDocument, tokens_text
from jobs.core.money import Price, about_usd, dollars
from jobs.core.text import label
from jobs.schemas import Field

#: A field with more values than these is no choice between a few.
_MOST_VALUES = 8

#: Of a value that is shown.
_VALUE_CHARS = 100


def tally(fields: Sequence[Field], answers: Iterable[Any]) -> dict[str, Counter[str]]:
    """How often each value of the fields that choose between a few was given, by the field's name."""
    counts = {field.name: Counter[str]() for field in fields if field.type in ("string", "boolean") and not field.many}
    for answer in answers:
        for name in list(counts):
            value = answer.get(name) if isinstance(answer, Mapping) else None
            if value is not None:
                counts[name][_word(value)] += 1
            if len(counts[name]) > _MOST_VALUES:
                del counts[name]
    return {name: values for name, values in counts.items() if values}


def tally_line(name: str, values: Counter[str]) -> str:
    """`trend: up 12 · down 5`, the most frequent first."""
    counted = (f"{label(value, _VALUE_CHARS)} {count:,}" for value, count in values.most_common())
    return f"{label(name)}: " + " · ".join(counted)


def spent_line(usage: TotalUsageDocument, prices: Sequence[Price]) -> str:
    """`tokens: 6,230 in, 547 out, about $0.0021`; of several providers' prices the least and the most."""
    words = f"tokens: {tokens_text(usage)}"
    costs = dollars(usage["prompt_tokens"], usage["completion_tokens"], prices)
    return f"{words}, {about_usd(costs, 'as the provider was')}" if costs else words


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else " ".join(str(value).split())
