"""What a chat reply says: its text, or the reason why there is none. Pure, and safe for any JSON value.

| content                  | ended by itself       | length        | filter | refusal | tool | broken off |
|--------------------------|-----------------------|---------------|--------|---------|------|------------|
| text                     | the answer            | the answer    | F      | R       | text | again      |
| empty, beside `refusal`  | R                     | R             | R      | R       | R    | R          |
| empty, beside tool calls | T                     | L             | F      | R       | T    | again      |
| empty, beside reasoning  | the reasoning         | L             | F      | R       | T    | again      |
| empty                    | again                 | L             | F      | R       | T    | again      |

R, L, F, T: refusal, max_tokens, filter, tool: the same question would end in the same way, so it is not asked again.
"""

from dataclasses import dataclass
from typing import Any

from worker.hf.errors import (
    HFBadAnswerError,
    HFContentFilterError,
    HFMaxTokensError,
    HFRefusalError,
    HFToolCallError,
    clip,
)
from worker.hf.finish_reasons import End, end_of
from worker.hf.thinking import without_thinking

#: Where servers put what a model thought, best first.
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")

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


def read_choices(choices: list[Any]) -> Said:
    """The first choice that is an answer. Raises NoAnswer, with what the first one was instead."""
    first: NoAnswer | None = None
    for choice in choices:
        try:
            return _said(choice if isinstance(choice, dict) else {})
        except NoAnswer as why:
            first = first or why
    raise first or NoAnswer("no choices")


def finish_reason(choice: dict[str, Any]) -> str | None:
    """In the server's words; some put it into an object of details."""
    details = (_dict(choice.get(name)) for name in ("finish_details", "details"))
    told = (choice.get("finish_reason"), *(one.get("finish_reason") or one.get("type") for one in details))
    return next((clip(one, 200) for one in told if isinstance(one, str) and one.strip()), None)


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


def _said(choice: dict[str, Any]) -> Said:
    message, reason = _dict(choice.get("message")), finish_reason(choice)
    content = message.get("content")
    text = without_thinking(_joined(content)).strip()
    end, declined = end_of(reason), _declined(message)
    if declined or end == "refusal":
        raise _refused(declined or text)
    if end == "filter":
        raise filtered(text)
    if end == "broken":
        raise NoAnswer(f"the server broke it off (finish_reason {clip(reason or '', 80)})")
    if not text:
        text = _instead_of_content(message, end, _kind(content))
    return Said(text=text, finish_reason=reason)


def _instead_of_content(message: dict[str, Any], end: End, kind: str) -> str:
    if end == "length":
        raise cut_off(kind)
    if end == "tool" or message.get("tool_calls") or message.get("function_call"):
        raise NoAnswer(
            f"{kind}: the model called a tool, and nobody is there to run it; leave tools out of the parameters, "
            "or ask another model",
            HFToolCallError,
        )
    thought = (without_thinking(_joined(message.get(name))).strip() for name in _REASONING)
    if found := next(filter(None, thought), None):
        return found
    raise NoAnswer(kind)


def _refused(said: str) -> NoAnswer:
    words = clip(said, _QUOTED_CHARS)
    return NoAnswer(
        f"the model declined ({words or 'without a word'}); ask in other words, or another model", HFRefusalError
    )


def _declined(message: dict[str, Any]) -> str:
    """A refusal, in a field of its own or as a part of the content."""
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    told = (message.get("refusal"), *(part.get("refusal") for part in parts))
    return next((one for one in told if isinstance(one, str) and one.strip()), "")


def _kind(content: Any) -> str:
    if _joined(content).strip():
        return "nothing but thinking"
    return "null content" if content is None else "empty content"


def _joined(content: Any) -> str:
    """A message's content: a string, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
