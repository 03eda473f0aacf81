"""What rows mean to readers: was it a rehearsal, is the answer structured, what can be shown of its characters."""

import json
from collections.abc import Sequence
from typing import Any

from jobs.core.text import visible
from jobs.formats.format import Row

#: How the rehearsal server marks its answers (worker.rehearsal.answers).
_REHEARSAL_MARK, _REHEARSAL_FINGERPRINT = "[rehearsal]", "chartq-rehearsal"

#: What models like to put around JSON, and the words that may follow it.
_FENCE, _FENCE_WORDS = "```", ("", "json")


def is_rehearsal(row: Row) -> bool:
    """Whether the rehearsal server gave this answer, and no model."""
    if row.get("rehearsal"):
        return True
    raw = row.get("raw")
    if isinstance(raw, dict) and raw.get("system_fingerprint") == _REHEARSAL_FINGERPRINT:
        return True
    return (row.get("text") or "").startswith(_REHEARSAL_MARK)


def fields_of(text: str) -> dict[str, Any] | None:
    """The fields of an answer that is one JSON object; None for prose."""
    inner = _without_fence(text.strip()).strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        return None
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def _without_fence(text: str) -> str:
    head, line_feed, rest = text.partition("\n")
    fenced = line_feed and head.startswith(_FENCE) and head[len(_FENCE) :].strip().lower() in _FENCE_WORDS
    return rest.removesuffix(_FENCE) if fenced and rest.endswith(_FENCE) else text


def shown(text: str) -> str:
    """The text for people to look at: lines end in one way, and nothing in it acts instead of being seen."""
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"))


def tokens_of(row: Row) -> tuple[int | None, int | None]:
    """Prompt and completion tokens, where the server told them."""
    usage = row.get("usage") or {}
    return usage.get("prompt_tokens"), usage.get("completion_tokens")


def finish_reason_of(raw: Any) -> str | None:
    """Why the model ended, in the server's words, where it told."""
    choices = raw.get("choices") if isinstance(raw, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, dict) else None
    return reason if isinstance(reason, str) else None


def image_text(image: str | Sequence[str] | None) -> str:
    """Where the row's pictures lie, in a line; "" for text alone."""
    return image if isinstance(image, str) else ", ".join(image or ())


def sent_text(sent: Any) -> str:
    """What the model was shown, in a line: `PNG 2048x1152, 184 kB`."""
    pictures = sent if isinstance(sent, list) else [sent]
    return ", ".join(
        f"{one['format']} {one['width']}x{one['height']}, {one['bytes'] / 1000:.0f} kB" for one in pictures if one
    )


def outcome_text(row: Row) -> str:
    """The answer, or what went wrong, or nothing yet."""
    if row.get("text") is not None:
        return str(row["text"])
    error = row.get("error")
    return f"{error['type']}: {error['message']}" if error else ""
