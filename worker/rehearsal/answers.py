"""The answers: what a model would say, said by a glance at the pixels, in the shape of each task's body."""

import json
import time
from collections.abc import Mapping
from typing import Any

from jobs.schemas import CHART, schema_in
from worker.rehearsal.behaviour import Behaviour
from worker.rehearsal.fake_json import fit
from worker.rehearsal.fake_vision import ImageStats, look_at
from worker.rehearsal.reply import HTML, JSON, Reply, json_reply
from worker.rehearsal.request_parser import ParsedRequest

#: With this every text begins, so that nobody takes it for a model's.
MARK = "[rehearsal]"

#: What the values of an enum may call a trend.
_WORDS = {
    "up": ("up", "upward", "rising", "bullish", "uptrend"),
    "down": ("down", "downward", "falling", "bearish", "downtrend"),
    "sideways": ("sideways", "flat", "neutral", "ranging"),
}
_SAYS = {"up": "rises", "down": "falls", "sideways": "ends about where it began"}
#: Of a vision model's prompt tokens: one for each square of so many pixels (Qwen-VL's patches).
_PATCH_PX = 28 * 28
#: How much of the question is repeated in the answer.
_QUESTION_CHARS = 60


def answer(asked: ParsedRequest, behaviour: Behaviour, number: int, *, misfit: str | None = None) -> Reply:
    """The good answer to what was asked, or to a JSON schema a `misfit`. Raises ValueError if its image is none."""
    glance = look_at(asked.image) if asked.image is not None and behaviour.look else None
    text = _sentence(asked, glance)
    if asked.kind == "visual-question-answering":
        word = glance.trend if glance else "unknown"
        return json_reply([{"score": 0.9, "answer": f"{MARK} {word}"}, {"score": 0.1, "answer": text}])
    if asked.kind != "chat":
        return json_reply([{"generated_text": text}])
    reason = "length" if misfit == "cut-short" else "stop"
    return json_reply(_completion(asked, number, _content(asked, glance, text, misfit), reason, glance))


def bad_answer(kind: str, asked: ParsedRequest, number: int) -> Reply:
    """A 200 that is no answer."""
    if kind == "html":
        return Reply(200, b"<html><body>rehearsal: please sign in</body></html>", HTML)
    if kind == "broken-json":
        return Reply(200, b'{"object": "chat.completion", "choices": [{"index": 0, "mess', JSON)
    if kind == "error-in-200":
        return json_reply({"error": "CUDA out of memory (rehearsal)"})
    nothing = None if kind == "null-content" else ""
    if asked.kind != "chat":
        return json_reply([] if kind == "no-choices" else [{"generated_text": nothing}])
    completion = _completion(asked, number, nothing, "stop", None)
    if kind == "no-choices":
        completion["choices"] = []
    return json_reply(completion)


def _sentence(asked: ParsedRequest, glance: ImageStats | None) -> str:
    question = " ".join(asked.prompt.split())
    asks = f' The question was "{question[:_QUESTION_CHARS]}".' if question else ""
    if glance is None:
        return f"{MARK} Not a model's answer.{asks}"
    seen = (
        f"the curve {_SAYS[glance.trend]} from left to right: trend {glance.trend}" if glance.ends else "no curve seen"
    )
    return f"{MARK} Not a model's answer. {glance.width}x{glance.height} {glance.format}; {seen}.{asks}"


def _content(asked: ParsedRequest, glance: ImageStats | None, text: str, misfit: str | None) -> str:
    schema = schema_in(asked.body)
    if schema is None or misfit == "prose":
        return text
    if schema == CHART:
        value = _chart_answer(glance, text)
    else:
        value = fit(schema, text, _WORDS[glance.trend] if glance else (), short=MARK)
    said = json.dumps(_spoiled(value) if misfit == "misfit" else value)
    return said[: len(said) // 2] if misfit == "cut-short" else said


def _chart_answer(glance: ImageStats | None, text: str) -> Mapping[str, Any]:
    """As `--schema chart` has it. A glance sees no levels and no indicators, so none are made up."""
    seen = glance is not None and bool(glance.ends)
    return {
        "trend": glance.trend if glance and seen else "unclear",
        "patterns": [f"{MARK} line"] if seen else [],
        "indicators": [],
        "support": [],
        "resistance": [],
        "confidence": 0.5 if seen else 0.0,
        "summary": text,
    }


def _spoiled(value: Any) -> Any:
    """The same fields with a value that none of them takes; for what has no fields a list."""
    return {name: {"misfit": MARK} for name in value} if isinstance(value, dict) and value else [MARK]


def _completion(
    asked: ParsedRequest, number: int, content: str | None, finish_reason: str, glance: ImageStats | None
) -> dict[str, Any]:
    prompt_tokens = 8 + len(asked.prompt) // 4 + (glance.width * glance.height // _PATCH_PX if glance else 0)
    completion_tokens = 1 + len(content or "") // 4
    message = {"role": "assistant", "content": content}
    return {
        "id": f"chatcmpl-rehearsal-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model_id,
        "system_fingerprint": "chartq-rehearsal",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
