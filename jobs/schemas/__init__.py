"""Structured answers: the JSON schema that a question asks for, the answer's fields, and the check.

`checking` is not imported here: it loads the jsonschema library, which only questions with a schema need.
"""

from jobs.schemas.columns import Field, answer_fields, parsed_answer
from jobs.schemas.response_format import CHART, CHART_PROMPT, SchemaSource, ask_for, schema_in, schema_of

__all__ = [
    "CHART",
    "CHART_PROMPT",
    "Field",
    "SchemaSource",
    "answer_fields",
    "ask_for",
    "parsed_answer",
    "schema_in",
    "schema_of",
]
