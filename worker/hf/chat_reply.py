"""What a chat reply says: its text, or the reason why there is none. Pure, and safe for any JSON value.

| content                  | ended by itself       | length        | filter | refusal | tool | broken off |
|--------------------------|-----------------------|---------------|--------|---------|------|------------|
| text                     | the answer            | the answer    | F      | R       | text | again      |
| empty, beside `refusal`  | R                     | R             | R      | R       | R    | R          |
| empty, beside tool calls | T                     | L             | F      | R       | T    | again      |
| empty, beside reasoning  | the reasoning         | L             | F      | R       | T    | again      |
| empty                    | again (F if filtered) | L             | F      | R       | T    | again      |

R, L, F, T: refusal, max_tokens, filter, tool: the same question would end in the same way, so it is not asked again.
"""

import json
from dataclasses import dataclass
from typing import Any

from worker.hf.error_words import tells, words
from worker.hf.errors import (
    HFBadAnswerError,
    HFContentFilterError,
    HFMaxTokensError,
    HFRefusalError,
    HFToolCallError,
    clip,
)
from worker.hf.finish_reasons import End, end_of
from worker.hf.json_text import as_list, as_object
from worker.hf.thinking import without_thinking

#: Where servers put what a model thought, best first.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details", "thinking_blocks")

#: Where a part of a message, or of what it thought, has its text.
_TEXTS = ("text", "content", "summary", "thinking", "value")

#: Other words of why it ended, of which only these count: a stop sequence of the user's own may stand there.
_ALSO_ENDED, _ALSO_ENDS = ("native_finish_reason", "stop_reason"), ("length", "filter", "refusal")

#: Characters of a model's words that an error quotes.
_QUOTED_CHARS = 200

RAISE_MAX_TOKENS = (
    "raise it (--param max_tokens=4000), or turn thinking off "
    """(--param 'extra_body={"chat_template_kwargs": {"enable_thinking": false}}')"""
)


class NoAnswer(Exception):
    """Internal: why a reply with a good status holds no answer, and the error that it is."""

    def __init__(self, why: str, kind: type[HFBadAnswerError] = HFBadAnswerError) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Said:
    """One choice of a reply."""

    text: str
    finish_reason: str | None


def read_choices(choices: list[Any], *, is_filtered: bool) -> Said:
    """The first choice that is an answer. Raises NoAnswer, with what the first one was instead.

    `is_filtered`: a filter took something of the question, if there is no answer.
    """
    first: NoAnswer | None = None
    for choice in choices:
        try:
            return _said(as_object(choice), is_filtered=is_filtered)
        except NoAnswer as why:
            first = first or why
    raise first or NoAnswer("no choices")


def finish_reason(choice: dict[str, Any]) -> str | None:
    """In the server's words; some put it into an object of details, or tell more in words of the model's provider."""
    details = (as_object(choice.get(name)) for name in ("finish_reason", "finish_details", "details"))
    told = (choice.get("finish_reason"), *(one.get("finish_reason") or one.get("type") for one in details))
    reason = next((clip(one, 200) for one in told if isinstance(one, str) and one.strip()), None)
    others = [one for one in (choice.get(name) for name in _ALSO_ENDED) if isinstance(one, str)]
    if end_of(reason) == "itself":
        return next((clip(one, 200) for one in others if end_of(one) in _ALSO_ENDS), reason)
    return reason


def has_filtered(value: Any) -> bool:
    """Whether Azure's `content_filter_results` or `prompt_filter_results` say so anywhere."""
    if isinstance(value, dict):
        return value.get("filtered") is True or any(has_filtered(one) for one in value.values())
    return isinstance(value, list) and any(has_filtered(one) for one in value)


def cut_off(kind: str) -> NoAnswer:
    """`max_tokens` ran out before there was an answer."""
    return NoAnswer(f"{kind}: max_tokens ran out before the answer began; {RAISE_MAX_TOKENS}", HFMaxTokensError)


def filtered(said: str = "") -> NoAnswer:
    """The provider's filter took the answer away, or the rest of it."""
    shown = f" after {clip(said, _QUOTED_CHARS)!r}" if said.strip() else ""
    return NoAnswer(
        f"the provider's content filter stopped it{shown}; ask in other words, or another model or provider",
        HFContentFilterError,
    )


def _said(choice: dict[str, Any], *, is_filtered: bool) -> Said:
    message, reason = _message(choice), finish_reason(choice)
    content = message.get("content")
    text = without_thinking(_joined(_spoken(content))).strip()
    end, declined = end_of(reason), _declined(choice, message)
    if declined or end == "refusal":
        raise _refused(declined or text)
    if end == "filter":
        raise filtered(text)
    if end == "broken":
        raise NoAnswer(f"the server broke it off (finish_reason {clip(reason or '', 80)})")
    if not text and (is_filtered or has_filtered(choice)):
        raise filtered()
    if not text:
        text = _instead_of_content(message, end, _kind(content))
    return Said(text=text, finish_reason=reason)


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    """Some servers answer with a piece of a stream, or as the older API for texts did."""
    found = (choice.get(name) for name in ("message", "delta"))
    return next((one for one in found if isinstance(one, dict) and one), {"content": choice.get("text")})


def _instead_of_content(message: dict[str, Any], end: End, kind: str) -> str:
    if end == "length":
        raise cut_off(kind)
    if end == "tool" or message.get("tool_calls") or message.get("function_call"):
        raise NoAnswer(
            f"{kind}: the model called a tool, and nobody is there to run it; leave tools out of the parameters, "
            "or ask another model",
            HFToolCallError,
        )
    thoughts = (as_list(message.get("content")), *(message.get(name) for name in _REASONING))
    thought = (without_thinking(_joined(one)).strip() for one in thoughts)
    if found := next(filter(None, thought), None):
        return found
    raise NoAnswer(kind)


def _refused(said: str) -> NoAnswer:
    shown = clip(said, _QUOTED_CHARS)
    return NoAnswer(
        f"the model declined ({shown or 'without a word'}); ask in other words, or another model", HFRefusalError
    )


def _declined(choice: dict[str, Any], message: dict[str, Any]) -> str:
    """A refusal, in a field of its own or as a part of the content; in words, or in an object."""
    parts = map(as_object, as_list(message.get("content")))
    told = (one.get("refusal") for one in (message, choice, *parts))
    return next((_joined(one).strip() or words(one) or "without a word" for one in told if tells(one)), "")


def _kind(content: Any) -> str:
    if _joined(content).strip():
        return "nothing but thinking"
    return "null content" if content is None else "empty content"


def _spoken(content: Any) -> Any:
    """Without the parts that are what the model thought."""
    if isinstance(content, dict) and content and not _joined(content):
        return json.dumps(content, ensure_ascii=False)  # a structured answer, as it was asked for
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    return [part for part in content if not _is_thought(part)] if isinstance(content, list) else content


def _is_thought(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = str(part.get("type")).lower()
    return part.get("thought") is True or any(word in kind for word in ("think", "reason", "thought"))


def _joined(content: Any) -> str:
    """A message's content: a string, or a part or a list of parts of which the text ones count."""
    if isinstance(content, dict):
        return next(filter(None, (_joined(content.get(name)) for name in _TEXTS)), "")
    if isinstance(content, list):
        return "".join(_joined(part) for part in content)
    return content if isinstance(content, str) else ""
