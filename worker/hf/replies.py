"""From a reply to an answer, or to the error that says why there is none. Pure, and safe for any bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.core.job import Api
from worker.hf.chat_reply import NoAnswer, Said, cut_off, filtered, finish_reason, read_choices
from worker.hf.error_mapping import context, credits_error, error_code, error_text, header, is_html, refusal, words
from worker.hf.errors import HFBadAnswerError, HFErrorReplyError, clip
from worker.hf.finish_reasons import end_of
from worker.hf.json_text import parse_json, storable
from worker.hf.quota import is_used_up
from worker.hf.retry_hints import MAX_HINT_S, hint_s
from worker.hf.thinking import without_thinking

__all__ = ["MAX_HINT_S", "Answer", "hint_s", "read_reply", "without_thinking"]


#: Largest token count that is believed (and fits an INTEGER column).
_MAX_TOKENS = 2**31 - 1


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
    #: Why it ended, in the server's words: stop, length (max_tokens ran out) ...
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
    except NoAnswer as why:
        kind, message = why.kind, f"The server said {status}, but sent no answer: {why}"
    raise kind(message, **vars(context(status, headers)))


def _value(headers: Mapping[str, str], body: bytes) -> Any:
    if not body.strip():
        raise NoAnswer("an empty body")
    start = body[:1_000].decode("utf-8", "replace")
    if is_html(start):
        raise NoAnswer(f"an HTML page ({error_text(headers, body)})")
    if start.startswith(("data:", "event:", ":")):
        raise NoAnswer("an event stream")
    try:
        return parse_json(body)
    except ValueError:
        raise NoAnswer(f"broken JSON ({clip(start, 100)})") from None


def _answer(value: Any, headers: Mapping[str, str], api: Api) -> Answer:
    reply = value if isinstance(value, dict) else {}
    if reply.get("error"):
        raise _error_within(value, headers)
    said = read_choices(_choices(reply)) if api == "chat" else _task_answer(value)
    usage = _dict(reply.get("usage"))
    about = context(200, headers)
    return Answer(
        text=storable(said.text),
        raw=value,
        prompt_tokens=_tokens(usage.get("prompt_tokens")),
        completion_tokens=_tokens(usage.get("completion_tokens")),
        request_id=about.request_id or _word(reply.get("id")),
        provider=about.provider,
        model=_word(reply.get("model")),
        finish_reason=said.finish_reason,
        rehearsal=header(headers, "x-chartq-rehearsal") == "1",
    )


def _error_within(value: dict[str, Any], headers: Mapping[str, str]) -> Exception:
    """An error that came with a good status: what no waiting cures is told as if its status said so."""
    said, code = words(value), error_code(value)
    if is_used_up(said, code, hint_s=None):
        return credits_error(200, headers, said)
    if any(end_of(word) == "filter" for word in code.split()):
        return filtered(said)
    return NoAnswer(f"an error ({said or 'without a word'})", HFErrorReplyError if said else HFBadAnswerError)


def _choices(reply: dict[str, Any]) -> list[Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NoAnswer(f"no choices ({words(reply) or 'nothing else either'})")
    return choices


def _task_answer(value: Any) -> Said:
    """`[{"generated_text"}]`, `{"generated_text"}`, or the best of `[{"score", "answer"}]`."""
    entries = value if isinstance(value, list) else [value]
    if entries and isinstance(entries[0], list):  # one list per input, we send one input
        entries = entries[0]
    found = [entry for entry in entries if isinstance(entry, dict)]
    answers = [entry for entry in found if isinstance(entry.get("answer"), str | int | float)]
    texts = [entry for entry in found if isinstance(entry.get("generated_text"), str)]
    if not answers and not texts:
        raise NoAnswer(f"neither generated_text nor answer ({words(value) or 'nothing else either'})")
    best = texts[0] if texts else max(answers, key=_score)
    text, reason = str(best["generated_text" if texts else "answer"]).strip(), finish_reason(best)
    if not text:
        raise cut_off("an empty text") if end_of(reason) == "length" else NoAnswer("an empty text")
    return Said(text=text, finish_reason=reason)


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
