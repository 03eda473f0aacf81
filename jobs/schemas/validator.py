"""Whether a value fits a JSON schema, within bounds that no schema and no answer can break.

jsonschema does the checking. Three of its ways could take a worker with them, so they are closed: it would fetch
references from the network (only `#/...` is followed), match patterns with Python's backtracking engine, which holds
the interpreter's lock meanwhile (pydantic's linear one does it, without look-around and back-references), and go on
for as long as a schema of nested choices makes it (every step is counted).
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from math import prod
from typing import Annotated, Any

from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator, validators
from jsonschema.exceptions import SchemaError as InvalidSchemaError
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as NoMatchError
from pydantic_core import SchemaError as PatternError
from referencing import Registry

from jobs.core.errors import SchemaError
from jobs.core.job import canonical_json
from jobs.schemas.response_format import MAX_SCHEMA_BYTES
from jobs.schemas.subschemas import subschemas

#: Steps of one check, about 10 µs each: a list of 1,000 objects with ten fields takes 30,000.
MAX_STEPS = 100_000

#: Characters times repetitions, of all patterns of a schema; 20,000 of it compile and match in about a second.
_MAX_PATTERN_WEIGHT = 20_000

#: Weight times characters that are matched per step.
_WEIGHT_PER_STEP = 1_000

#: Characters of the library's sentence, which quotes the value first and says what is wrong with it at the end.
_MAX_WHY_CHARS = 240

_REPEATED = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")

_DRAFTS: Mapping[str, type[Validator]] = {
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "http://json-schema.org/draft-07/schema": Draft7Validator,
}


class TooMuchToCheckError(Exception):
    """The check was given up: the schema, or the value, makes too much work."""


class _Steps(threading.local):
    """What is left of the running check."""

    left = 0

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise TooMuchToCheckError(f"more than {MAX_STEPS:,} steps")


_steps = _Steps()


class Checker:
    """A schema, ready to check values. Safe for many threads."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises SchemaError: not valid, too large, or with what can't be checked safely."""
        draft = _draft(schema)
        try:
            if len(canonical_json(dict(schema))) > MAX_SCHEMA_BYTES:
                raise SchemaError(f"the schema has more than {MAX_SCHEMA_BYTES:,} characters")
            # Without a format checker: it would run patterns through Python's engine.
            draft.check_schema(dict(schema), format_checker=None)  # type: ignore[call-arg]  # the protocol lacks it
            _check_patterns(subschemas(schema))
        except InvalidSchemaError as error:
            raise SchemaError(f"the schema is not valid: {_where_and_why(error)}") from None
        except RecursionError:
            raise SchemaError("the schema is nested too deeply") from None
        nothing_is_fetched: Registry[Any] = Registry()
        # All references are `#/...`, so where the schema says it comes from means nothing.
        anonymous = {name: value for name, value in schema.items() if name != "$id"}
        self._validator = _bounded(draft)(anonymous, registry=nothing_is_fetched)

    def mismatch(self, value: Any) -> str | None:
        """Where and why a JSON value does not fit (`$.trend: 'sideway' is not one of [...]`); None if it fits."""
        _steps.left = MAX_STEPS
        try:
            error = best_match(self._validator.iter_errors(value))
        except TooMuchToCheckError as why:
            return f"$: it could not be checked against the schema: {why}"
        except RecursionError:
            return "$: it could not be checked against the schema: nested too deeply"
        return _where_and_why(error) if error else None


#: The largest schemas take 3 s to get ready: one thread of a worker does it, the others wait for it.
_one_at_a_time = threading.Lock()


def checker_for(schema_json: str) -> Checker:
    """The checker of a schema (its canonical JSON), kept for the next answer. Raises SchemaError."""
    with _one_at_a_time:
        return _kept(schema_json)


@lru_cache(maxsize=32)
def _kept(schema_json: str) -> Checker:
    return Checker(json.loads(schema_json))


def _draft(schema: Mapping[str, Any]) -> type[Validator]:
    named = schema.get("$schema")
    if named is None:
        return Draft202012Validator
    draft = _DRAFTS.get(named.removesuffix("#")) if isinstance(named, str) else None
    if draft is None:
        raise SchemaError(f"the schema's $schema is {named!r}: chartq knows 2020-12, 2019-09 and draft-07")
    return draft


@lru_cache(maxsize=len(_DRAFTS))
def _bounded(draft: type[Validator]) -> type[Validator]:
    """The library's validator with every keyword counted and `pattern` in bounded time."""
    keywords: dict[str, _Check] = {name: partial(_counted, check) for name, check in draft.VALIDATORS.items()}
    keywords["pattern"] = _pattern
    keywords["uniqueItems"] = partial(_unique_items, draft.VALIDATORS["uniqueItems"])
    bounded: type[Validator] = validators.extend(draft, keywords)  # type: ignore[no-untyped-call]
    return bounded


_Check = Callable[[Validator, Any, Any, Mapping[str, Any]], Iterator[ValidationError] | None]


def _counted(
    check: _Check, validator: Validator, wanted: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError] | None:
    """A step, and one for each thing that the keyword goes through: names, values of an enum, ways of a choice."""
    _steps.take(1 + (len(wanted) if isinstance(wanted, list | dict) else 0))
    return check(validator, wanted, value, schema)


def _unique_items(
    check: _Check, validator: Validator, wanted: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError] | None:
    if isinstance(value, list):
        _steps.take(len(value) ** 2 // 2)  # the library compares each with each where they have no order
    return check(validator, wanted, value, schema)


def _pattern(_validator: Validator, wanted: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str):
        _steps.take(1 + len(value) * _weight(wanted) // _WEIGHT_PER_STEP)
        try:
            _compiled(wanted).validate_python(value)
        except NoMatchError:
            yield ValidationError(f"{value!r} does not match {wanted!r}")


def _check_patterns(schemas: Iterator[Mapping[str, Any]]) -> None:
    weight = 0
    for schema in schemas:
        if isinstance(pattern := schema.get("pattern"), str):
            weight += _weight(pattern)
            if weight > _MAX_PATTERN_WEIGHT:
                raise SchemaError(f"the schema's patterns are too large to be checked, up to {pattern[:80]!r}")
            _compiled(pattern)


def _weight(pattern: str) -> int:
    """About how many states a pattern has: its characters, as often as its repetitions say."""
    return len(pattern) * prod(max(1, *(int(count or 1) for count in counts)) for counts in _REPEATED.findall(pattern))


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> TypeAdapter[str]:
    """pydantic's own engine, Rust's regex crate: linear in the text, and it searches as JSON Schema wants it."""
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except PatternError as error:
        why = re.split(r"[Ee]rror: ", str(error))[-1].strip()
        raise SchemaError(f"the schema's pattern {pattern[:80]!r} can't be checked: {why}") from None


def _where_and_why(error: ValidationError | InvalidSchemaError) -> str:
    why, half = error.message, _MAX_WHY_CHARS // 2
    return f"{error.json_path}: {why if len(why) <= _MAX_WHY_CHARS else f'{why[:half]} … {why[-half:]}'}"
