"""Why a model stopped, in the words of OpenAI, TGI, Gemini, Anthropic and the servers that speak like them. Pure."""

import re
from typing import Literal

End = Literal["itself", "length", "filter", "refusal", "tool", "broken"]

#: Case and what stands between the words don't matter. What stands nowhere here ended by itself: stop, eos_token,
#: stop_sequence, end_turn, or nothing at all.
_ENDS: dict[str, End] = {
    "length": "length",
    "max_tokens": "length",
    "max_new_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "token_limit": "length",
    "context_length": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "filter",
    "content_filtered": "filter",
    "safety": "filter",
    "image_safety": "filter",
    "recitation": "filter",
    "prohibited_content": "filter",
    "blocklist": "filter",
    "spii": "filter",
    "sensitive": "filter",
    "guardrail_intervened": "filter",
    "refusal": "refusal",
    "tool_calls": "tool",
    "tool_call": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "malformed_function_call": "tool",
    "unexpected_tool_call": "tool",
    "error": "broken",
    "abort": "broken",
    "aborted": "broken",
    "cancelled": "broken",
    "canceled": "broken",
    "timeout": "broken",
    "insufficient_system_resource": "broken",
}

_BETWEEN = re.compile(r"[^a-z0-9]+")

#: As they are compared: `content_filter`, `content-filter` and `contentFilter` are one.
_BY_LETTERS = {_BETWEEN.sub("", name): end for name, end in _ENDS.items()}


def end_of(finish_reason: str | None) -> End:
    """What a server's `finish_reason` means: `Content-Filter` is a filter, None is "itself".

    >>> end_of("MAX_TOKENS"), end_of("eos_token")
    ('length', 'itself')
    """
    return _BY_LETTERS.get(_BETWEEN.sub("", (finish_reason or "").lower()), "itself")
