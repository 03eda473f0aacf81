"""From a reply to an answer, or to the error that says why there is none. Pure, and safe for any bytes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.core.job import Api
from worker.hf.chat_reply import NoAnswer, Said, cut_off, filtered, finish_reason, has_filtered, read_choices
from worker.hf.error_mapping import context, refusal
from worker.hf.error_words import error_text, header, is_html, tells, words
from worker.hf.errors import clip
from worker.hf.finish_reasons import end_of
from worker.hf.json_text import as_list, as_object, decoded, parse_json, storable
from worker.hf.streams import joined

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
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    api: Api,
    now: datetime | None = None,
    clean: Callable[[str], str] = str,
) -> Answer:
    """The answer in a reply. Raises the `HFAPIError` child that the status, headers and body call for.

    `now` is what HTTP dates in Retry-After are measured from; the clock by default. `clean` takes secrets out of what
    came in pieces.
    """
    if not 200 <= status <= 299:
        raise refusal(status, headers, body, now=now)
    try:
        value = _value(headers, body, clean)
        if (error := _error_within(value, api)) is not None:
            raise refusal(status, headers, json.dumps(error).encode(), now=now)
        return _answer(value, headers, api)
    except NoAnswer as why:
        kind, message = why.kind, f"The server said {status}, but sent no answer: {why}"
    raise kind(message, **vars(context(status, headers)))


def _value(headers: Mapping[str, str], body: bytes, clean: Callable[[str], str]) -> Any:
    if not body.strip():
        raise NoAnswer("an empty body")
    text = decoded(body, header(headers, "content-type") or "")
    if is_html(text[:1_000]):
        raise NoAnswer(f"an HTML page ({error_text(headers, body)})")
    try:
        return parse_json(text)
    except ValueError:
        stream = joined(text, clean)
    if stream is not None:
        return stream
    is_stream = text.startswith(("data:", "event:", ":"))
    raise NoAnswer("an event stream" if is_stream else f"broken JSON ({clip(text[:1_000], 100)})")


def _error_within(value: Any, api: Api) -> Any:
    """What in a reply with a good status is an error; None if it is none: `"error": null` isn't."""
    reply = as_object(value[0] if isinstance(value, list) and value else value)
    base = as_object(reply.get("base_resp"))
    if tells(reply.get("error")) or tells(reply.get("errors")) or tells(base.get("status_code")):
        return reply
    if reply.get("object") == "error" or reply.get("success") is False:
        return reply
    if choices := as_list(reply.get("choices")):
        error = as_object(choices[0]).get("error")
        return {"error": error} if tells(error) else None
    is_answer = api == "task" and ("generated_text" in reply or "answer" in reply)
    return reply if words(reply) and not is_answer else None


def _answer(value: Any, headers: Mapping[str, str], api: Api) -> Answer:
    reply = as_object(value)
    said = _chat_answer(reply) if api == "chat" else _task_answer(value)
    usage = as_object(reply.get("usage"))
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


def _chat_answer(reply: dict[str, Any]) -> Said:
    choices, feedback = as_list(reply.get("choices")), as_object(reply.get("promptFeedback"))  # Gemini's
    is_filtered = has_filtered(reply.get("prompt_filter_results")) or tells(feedback.get("blockReason"))
    if any(isinstance(choice, dict) for choice in choices):
        return read_choices(choices, is_filtered=is_filtered)
    raise filtered() if is_filtered else NoAnswer("no choices, nothing else either")


def _task_answer(value: Any) -> Said:
    """`[{"generated_text"}]`, `{"generated_text"}`, or the best of `[{"score", "answer"}]`."""
    entries = value if isinstance(value, list) else [value]
    if entries and isinstance(entries[0], list):  # one list per input, we send one input
        entries = entries[0]
    found = [entry for entry in entries if isinstance(entry, dict)]
    answers = [entry for entry in found if isinstance(entry.get("answer"), str | int | float)]
    texts = [entry for entry in found if isinstance(entry.get("generated_text"), str)]
    if not answers and not texts:
        raise NoAnswer("neither generated_text nor answer")
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
