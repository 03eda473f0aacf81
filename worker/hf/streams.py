"""A reply that came in pieces, though nobody asked for a stream: paid for, so it is read and not asked again. Pure."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from worker.hf.error_words import tells
from worker.hf.json_text import as_list, as_object, documents


def joined(text: str, clean: Callable[[str], str] = str) -> dict[str, Any] | None:
    """The chat reply that a stream's events or lines make; None if they make none, or not to its end.

    `clean` is for what is put together here.
    """
    pieces = documents(text)
    for piece in pieces:
        if tells(piece.get("error")) or "message" in _choice(piece):
            return piece
    said: dict[str, list[str]] = defaultdict(list)
    others: dict[str, list[Any]] = defaultdict(list)
    for piece in pieces:
        for name, part in as_object(_choice(piece).get("delta")).items():
            if isinstance(part, str):
                said[name].append(part)
            elif isinstance(part, list):
                others[name] += part
    reasons = [reason for piece in pieces if (reason := _choice(piece).get("finish_reason"))]
    if not reasons and not ((said or others) and text.rstrip().endswith("[DONE]")):
        return None
    message = {**others, **{name: clean("".join(parts)) for name, parts in said.items()}, "role": "assistant"}
    choice = {"index": 0, "message": message, "finish_reason": reasons[-1] if reasons else None}
    usage = [piece["usage"] for piece in pieces if piece.get("usage")]
    return {**pieces[0], "object": "chat.completion", "choices": [choice], "usage": usage[-1] if usage else None}


def _choice(piece: dict[str, Any]) -> dict[str, Any]:
    return as_object(next(iter(as_list(piece.get("choices"))), None))
