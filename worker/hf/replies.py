"""From a reply to an answer, or to the error that says why there is none. Pure, and safe for any bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from worker.hf.error_mapping import context, error_text, header, is_html, refusal, words
from worker.hf.errors import HFBadAnswerError, clip
from worker.hf.json_text import parse_json, storable
from worker.hf.retry_hints import MAX_HINT_S, hint_s

__all__ = ["MAX_HINT_S", "Answer", "Api", "hint_s", "read_reply"]

Api = Literal["chat", "task"]

#: Largest token count that is believed (and fits an INTEGER column).
_MAX_TOKENS = 2**31 - 1

_THINK, _THINK_END = "<think>", "</think>"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said to one question, and what the server told about it."""

    text: str
    #: The server's whole reply, parsed.
    raw: Any
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    request_id: str | None = None
    provider: str | None = None
    #: The model that answered, in the server's words.
    model: str | None = None
    finish_reason: str | None = None
    #: True if the rehearsal server answered: never kept as anybody's real answer.
    rehearsal: bool = False


def read_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, api: Api, now: datetime | None = None
) -> Answer:
    """The answer in a reply. Raises the `HFAPIError` child that the status, headers and body call for.

    `now` is what HTTP dates in Retry-After are measured from; the clock by default.
    """
    if not 200 <= status <= 299:
        raise refusal(status, headers, body, now=now)
    try:
        return _answer(_value(headers, body), headers, api)
    except _NoAnswer as why:
        message = f"The server said {status}, but sent no answer: {why}"
    raise HFBadAnswerError(message, **vars(context(status, headers)))


class _NoAnswer(Exception):
    """Internal: why a reply with a good status holds no answer."""


def _value(headers: Mapping[str, str], body: bytes) -> Any:
    if not body.strip():
        raise _NoAnswer("an empty body")
    start = body[:1_000].decode("utf-8", "replace")
    if is_html(start):
        raise _NoAnswer(f"an HTML page ({error_text(headers, body)})")
    if start.startswith(("data:", "event:", ":")):
        raise _NoAnswer("an event stream")
    try:
        return parse_json(body)
    except ValueError:
        raise _NoAnswer(f"broken JSON ({clip(start, 100)})") from None


def _answer(value: Any, headers: Mapping[str, str], api: Api) -> Answer:
    if isinstance(value, dict) and value.get("error"):
        raise _NoAnswer(f"an error ({words(value) or 'without a word'})")
    reply = value if isinstance(value, dict) else {}
    choice = _first_choice(reply) if api == "chat" else {}
    text = _chat_text(choice) if api == "chat" else _task_text(value)
    usage = _dict(reply.get("usage"))
    about = context(200, headers)
    return Answer(
        text=text,
        raw=value,
        prompt_tokens=_tokens(usage.get("prompt_tokens")),
        completion_tokens=_tokens(usage.get("completion_tokens")),
        request_id=about.request_id or _word(reply.get("id")),
        provider=about.provider,
        model=_word(reply.get("model")),
        finish_reason=_word(choice.get("finish_reason")),
        rehearsal=header(headers, "x-chartq-rehearsal") == "1",
    )


def _first_choice(reply: dict[str, Any]) -> dict[str, Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _NoAnswer(f"no choices ({words(reply) or 'nothing else either'})")
    return choices[0]


def _chat_text(choice: dict[str, Any]) -> str:
    message = _dict(choice.get("message"))
    content = message.get("content")
    text = without_thinking(_joined(content)).strip()
    if text:
        return storable(text)
    raise _NoAnswer(_why_empty(content, message, choice))


def _why_empty(content: Any, message: dict[str, Any], choice: dict[str, Any]) -> str:
    kind = "null content" if content is None else "empty content"
    if _joined(content).strip():
        kind = "nothing but thinking"
    if choice.get("finish_reason") == "length":
        return f"{kind}: max_tokens ran out before the answer began; raise it, or turn thinking off (extra_body)"
    if message.get("tool_calls"):
        return f"{kind}: the model called a tool"
    refused = _word(message.get("refusal"))
    return f"{kind}: the model declined ({refused})" if refused else kind


def _joined(content: Any) -> str:
    """A message's content: a string, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def without_thinking(text: str) -> str:
    """`text` without its `<think>...</think>` parts.

    A `</think>` that was never opened ends a leading part (templates open it in the prompt); a leading part
    that is never closed was cut off, and nothing follows it. Linear, whatever a server makes up.
    """
    kept, position = [], 0
    first_end, first_start = text.find(_THINK_END), text.find(_THINK)
    if first_end >= 0 and not 0 <= first_start < first_end:
        position = first_end + len(_THINK_END)
    while (start := text.find(_THINK, position)) >= 0:
        end = text.find(_THINK_END, start)
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + len(_THINK_END)
    kept.append(text[position:])
    answer = "".join(kept)
    return "" if answer.lstrip().startswith(_THINK) else answer


def _task_text(value: Any) -> str:
    """`[{"generated_text"}]`, `{"generated_text"}`, or the best of `[{"score", "answer"}]`."""
    entries = value if isinstance(value, list) else [value]
    if entries and isinstance(entries[0], list):  # one list per input, we send one input
        entries = entries[0]
    found = [entry for entry in entries if isinstance(entry, dict)]
    answers = [entry for entry in found if isinstance(entry.get("answer"), str | int | float)]
    texts = [entry["generated_text"] for entry in found if isinstance(entry.get("generated_text"), str)]
    if not answers and not texts:
        raise _NoAnswer(f"neither generated_text nor answer ({words(value) or 'nothing else either'})")
    text = texts[0] if texts else str(max(answers, key=_score)["answer"])
    if not text.strip():
        raise _NoAnswer("an empty text")
    return storable(text.strip())


def _score(entry: dict[str, Any]) -> float:
    score = entry.get("score")
    return float(score) if isinstance(score, int | float) else 0.0


def _tokens(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MAX_TOKENS else None


def _word(value: Any) -> str | None:
    return clip(value, 200) or None if isinstance(value, str) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
