"""Structured answers: the JSON schema that a question asks for, the answer's fields, and the check.

`validator` is not imported here: it loads the jsonschema library, which only questions with a schema need.
"""

# What is imported here is what the room shows of itself.
# mypy: implicit-reexport
# ruff: noqa: F401

from jobs.schemas.columns import Field, answer_fields, parsed_answer
from jobs.schemas.response_format import CHART, CHART_PROMPT, SchemaSource, ask_for, schema_in, schema_of
