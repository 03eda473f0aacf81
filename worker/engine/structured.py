"""Structured answers: what a model said to a question with a JSON schema, parsed and checked."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from jobs.core.job import Question, canonical_json
from jobs.schemas import schema_of
from worker.hf.errors import HFMaxTokensError, HFSchemaMismatchError, clip
from worker.hf.finish_reasons import end_of
from worker.hf.json_text import parse_json, storable
from worker.hf.replies import Answer

#: Says where and why a JSON value does not fit; None if it does.
Mismatch = Callable[[Any], str | None]

#: The fence that models like to put around JSON; nothing else is taken away.
_FENCE = re.compile(r"```(?:json)?(.*)```", re.DOTALL | re.IGNORECASE)

#: Characters of the answer that an error shows.
_SHOWN_CHARS = 160


def check_of(question: Question) -> Mismatch | None:
    """How answers to the question are checked; None if it has no schema. Raises SchemaError."""
    schema = schema_of(question)
    if schema is None:
        return None
    from jobs.schemas.validator import checker_for  # its library takes 0.1 s to load, and few questions need it

    return checker_for(canonical_json(dict(schema))).mismatch


def checked(answer: Answer, mismatch: Mismatch) -> Answer:
    """The answer, its text the plain JSON on one line. Raises HFSchemaMismatchError, HFMaxTokensError."""
    fenced = _FENCE.fullmatch(answer.text.strip())
    text = (fenced[1] if fenced else answer.text).strip()
    try:
        value = parse_json(text)
    except ValueError as error:
        raise _refused(answer, f"The answer is not JSON: {clip(str(error), 100)}") from None
    if (why := mismatch(value)) is not None:
        raise _refused(answer, f"The answer does not fit the schema: {why}")
    return dataclasses.replace(answer, text=storable(json.dumps(value, ensure_ascii=False)))


def _refused(answer: Answer, why: str) -> HFSchemaMismatchError | HFMaxTokensError:
    """JSON that was cut off would be cut off again; other misfits may fit the next time."""
    is_cut = end_of(answer.finish_reason) == "length"
    kind = HFMaxTokensError if is_cut else HFSchemaMismatchError
    cut = "; max_tokens ran out: raise it (--param max_tokens=4000)" if is_cut else ""
    return kind(
        f"{clip(why, 290)}{cut}. It said: {clip(answer.text, _SHOWN_CHARS)}",
        status_code=200,
        request_id=answer.request_id,
        provider=answer.provider,
    )
