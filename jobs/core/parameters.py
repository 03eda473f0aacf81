"""Parameters that nobody may give, since they would change how many answers come back, or whose they are. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.core.job import MESSAGES

#: chartq writes these itself, or reads no reply in the form that they ask for.
_OWN = ("model", MESSAGES, "stream", "stream_options", "background")

#: How many answers are made, and paid for; only one is read.
_COUNTS = ("n", "best_of", "num_return_sequences", "candidate_count")


def refused_parameter(parameters: Mapping[str, Any]) -> str | None:
    """Which of `parameters`, or of those in their `extra_body`, can't be sent and why; None: all can."""
    for where, name, value in _all(parameters):
        if name in _OWN and not (name == "stream" and where and not value):
            return f"the parameter {where}{name!r} is chartq's own: leave it out (the model is -m)"
        if where and name == "extra_body":
            return "the parameter extra_body has an extra_body of its own, which nobody looks into: make them one"
        if name in _COUNTS and value is not None and not _is_one(value):
            return f"the parameter {where}{name!r} asks, and pays, for several answers: a chart has one, leave it out"
    return None


def _all(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in parameters.items():
        yield "", name, value
    extra = parameters.get("extra_body")
    if isinstance(extra, Mapping):
        for name, value in extra.items():
            yield "extra_body: ", name, value


def _is_one(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value == 1
