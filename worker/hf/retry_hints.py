"""How long a server asks to be left alone, in every form seen from Hugging Face and its providers."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.hf.json_text import parse_json

#: Longest wait in seconds that a server may ask for: beyond, someone has to look.
MAX_HINT_S = 3600.0

#: Characters of a body's text in which "try again in ..." is looked for.
_SEARCHED_CHARS = 10_000

_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,12})?")
_TRY_AGAIN = re.compile(r"(?:try again|retry)(?: in| after)\s{1,3}((?:[0-9.]{1,12}\s?[a-z]{1,12}\s?,?\s?){1,4})", re.I)
_DURATION_PART = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?"
    r"(milliseconds?|ms|minutes?|mins?|m|seconds?|secs?|s|hours?|hrs?|h)(?![a-z])",
    re.I,
)
_UNIT_S = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0}


def hint_s(status: int, headers: Mapping[str, str], body: bytes | str, *, now: datetime) -> float | None:
    """Seconds to wait before the next call, or None if the server didn't say.

    Only 429 and 5xx: Together sends `retry-after` with its good answers too. Best source first: Retry-After
    (seconds or an HTTP date), retry-after-ms, RateLimit with nothing remaining, "try again in 2s" in the
    text, estimated_time. One in the past, negative, zero, NaN or infinite is none; at most `MAX_HINT_S`.
    """
    if status != 429 and not 500 <= status <= 599:
        return None
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    told = _moment(lower.get("date", "")) or now  # the server's own clock, where it tells: its dates are by that one
    for wait_s in _candidates(lower, body, told):
        if wait_s is not None and math.isfinite(wait_s) and wait_s > 0:
            return min(wait_s, MAX_HINT_S)
    return None


def _candidates(headers: Mapping[str, str], body: bytes | str, now: datetime) -> Iterator[float | None]:
    yield _retry_after(headers.get("retry-after", ""), now)
    yield _scaled(_number(headers.get("retry-after-ms", "")), 0.001)
    yield _rate_limit(headers.get("ratelimit", ""))
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    yield _in_words(text[:_SEARCHED_CHARS])
    yield _estimated_time(text)


def _retry_after(value: str, now: datetime) -> float | None:
    """RFC 9110, 10.2.3, and floats; a header sent twice arrives as "2, 2"."""
    number = _number(value) if "," not in value else _number(value.split(",")[0])
    return number if number is not None else _seconds_until(value, now)


def _seconds_until(value: str, now: datetime) -> float | None:
    when = _moment(value)
    return (when - now).total_seconds() if when else None


def _moment(value: str) -> datetime | None:
    """An HTTP date."""
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _rate_limit(value: str) -> float | None:
    """`"api";r=0;t=52`: the longest wait of the windows that are used up (IETF draft, RateLimit fields)."""
    waits = [_exhausted_window(item) for item in value[:_SEARCHED_CHARS].split(",")]
    return max((wait_s for wait_s in waits if wait_s is not None), default=None)


def _exhausted_window(item: str) -> float | None:
    fields = dict(part.strip().partition("=")[::2] for part in item.split(";"))
    return _number(fields.get("t", "")) if _number(fields.get("r", "")) == 0 else None


def _in_words(text: str) -> float | None:
    found = _TRY_AGAIN.search(text)
    parts = _DURATION_PART.findall(found[1]) if found else []
    return sum(float(amount) * _unit_s(unit.lower()) for amount, unit in parts) if parts else None


def _unit_s(unit: str) -> float:
    if unit.startswith("milli"):
        return _UNIT_S["ms"]
    return _UNIT_S.get(unit[:2], _UNIT_S[unit[0]])


def _estimated_time(text: str) -> float | None:
    try:
        value = parse_json(text)
    except ValueError:
        return None
    error = value.get("error") if isinstance(value, dict) else None
    for holder in (value, error):
        found = holder.get("estimated_time") if isinstance(holder, dict) else None
        if found is not None:
            return _as_float(found)
    return None


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    return float(value) if isinstance(value, int | float) else _number(str(value))


def _number(text: str) -> float | None:
    """A plain decimal number; not what `float` takes besides (`1_0`, `nan`, `1e9`, other scripts' digits)."""
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
