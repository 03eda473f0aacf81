"""How long a server asks to be left alone, in every form seen from Hugging Face and its providers."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from worker.hf.error_words import letters, parts
from worker.hf.json_text import parsed

#: Longest wait in seconds that a server may ask for: beyond, someone has to look.
MAX_HINT_S = 3600.0

#: Characters of a body's text in which "try again in ..." is looked for, and of a header's value.
_SEARCHED_CHARS, _VALUE_CHARS = 10_000, 60

#: Fields that tell it, in headers and in bodies, best first, by their letters; and the seconds of one of theirs.
_FIELDS = {
    "retryafter": 1.0,
    "retryafterms": 0.001,
    "retryafterseconds": 1.0,
    "xretryafter": 1.0,
    "retrydelay": 1.0,  # Google's RetryInfo
    "retryin": 1.0,
    "waitseconds": 1.0,
}

#: What is a date as a number: units since 1970 of one second, millisecond, microsecond, nanosecond.
_EPOCHS = ((1e18, 1e9), (1e15, 1e6), (1e12, 1e3), (1e9, 1.0))

_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{0,12})?")
_AMOUNT = r"[0-9]{1,9}(?:\.[0-9]{1,9})?\s?[a-z]{1,12}"
_DURATION = re.compile(rf"(?:PT)?{_AMOUNT}(?:,?\s?(?:and\s)?{_AMOUNT}){{0,4}}", re.I)
_DURATION_PART = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?"
    r"(milliseconds?|ms|minutes?|mins?|m|seconds?|secs?|s|hours?|hrs?|h|days?|d)(?![a-z])",
    re.I,
)
_UNIT_S = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "d": 86400.0}
_AGAIN = r"\b(?:try again|retry(?: (?:your|the|this) requests?)?|wait|resets?|available(?: again)?)"
_TRY_AGAIN = re.compile(rf"{_AGAIN}(?: for| in| after)?(?: about| at least)?[\s:]{{1,3}}({_DURATION.pattern})", re.I)
_AGAIN_AT = re.compile(
    rf"{_AGAIN}(?: again)? (?:at|until|after|on) ([0-9]{{4}}-[0-9-]{{5}}[T ][0-9:.]{{5,15}}[Z0-9:+-]*)", re.I
)


def asked_s(status: int, headers: Mapping[str, str], body: bytes | str, *, now: datetime) -> float | None:
    """Seconds that the server asks for, however many; None if it didn't say.

    Only 429 and 5xx: Together sends `retry-after` with its good answers too. Best source first: Retry-After and its
    like in headers and body, RateLimit with nothing remaining, "try again in 2s" in the text, the time at which a
    limit that is used up is reset, estimated_time. One in the past, negative, zero, NaN or infinite is none.
    """
    if status != 429 and not 500 <= status <= 599:
        return None
    told: Mapping[str, Any] = {letters(name): str(value) for name, value in headers.items()}
    clock = _moment(str(told.get("date"))) or now  # the server's own, where it tells: its dates are by that one
    usable = (wait_s for wait_s in _candidates(status, told, body, clock) if wait_s and math.isfinite(wait_s))
    return next((wait_s for wait_s in usable if wait_s > 0), None)


def _candidates(status: int, headers: Mapping[str, Any], body: bytes | str, now: datetime) -> Iterator[float | None]:
    inner = [{letters(name): one for name, one in part.items()} for part in parts(parsed(body))]
    for fields in (headers, *inner):
        yield from (_wait_s(fields[name], now, unit_s) for name, unit_s in _FIELDS.items() if name in fields)
    yield _rate_limit(headers.get("ratelimit", ""))
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    yield from _in_words(text[:_SEARCHED_CHARS], now)
    if status == 429:  # with others, a limit is not the reason
        yield from (_reset(fields, now) for fields in (headers, *inner))
    yield from (_wait_s(fields["estimatedtime"], now) for fields in inner if "estimatedtime" in fields)


def _wait_s(value: Any, now: datetime, unit_s: float = 1.0) -> float | None:
    """Of a number, a duration or a date in any form; a header that was sent twice arrives as "2, 2"."""
    if isinstance(value, dict):
        return _wait_s(value.get("seconds"), now, unit_s)
    text = str(value)[:_VALUE_CHARS].strip(' "')
    first = text.split(",")[0]
    number = _number(first)
    if number is None:
        return _duration_s(first) or _seconds_until(text, now)
    since_1970 = next((number / per_s for least, per_s in _EPOCHS if number >= least), None)
    return number * unit_s if since_1970 is None else since_1970 - now.timestamp()


def _seconds_until(value: str, now: datetime) -> float | None:
    when = _moment(value)
    return (when - now).total_seconds() if when else None


def _moment(value: str) -> datetime | None:
    """An HTTP date, or one of ISO 8601."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = read(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return None


def _rate_limit(value: str) -> float | None:
    """`"api";r=0;t=52`: the longest wait of the windows that are used up (IETF draft, RateLimit fields)."""
    return _longest(_exhausted_window(item) for item in value[:_SEARCHED_CHARS].split(","))


def _exhausted_window(item: str) -> float | None:
    fields = dict(part.strip().partition("=")[::2] for part in item.split(";"))
    return _number(fields.get("t", "")) if _number(fields.get("r", "")) == 0 else None


def _reset(fields: Mapping[str, Any], now: datetime) -> float | None:
    """`x-ratelimit-reset-tokens` and its like: the longest, but for limits of which something remains."""
    return _longest(
        _wait_s(value, now)
        for name, value in fields.items()
        if "ratelimit" in name and "reset" in name and not _number(str(fields.get(name.replace("reset", "remaining"))))
    )


def _longest(waits: Iterable[float | None]) -> float | None:
    return max((wait_s for wait_s in waits if wait_s is not None), default=None)


def _in_words(text: str, now: datetime) -> Iterator[float | None]:
    yield from (_duration_s(found[1]) for found in _TRY_AGAIN.finditer(text))
    yield from (_seconds_until(found[1], now) for found in _AGAIN_AT.finditer(text))


def _duration_s(text: str) -> float | None:
    """`1m30s`, `250ms`, `2 minutes`."""
    amounts = _DURATION_PART.findall(text) if _DURATION.match(text) else []
    return sum(float(amount) * _unit_s(unit.lower()) for amount, unit in amounts) if amounts else None


def _unit_s(unit: str) -> float:
    if unit.startswith("milli"):
        return _UNIT_S["ms"]
    return _UNIT_S.get(unit[:2], _UNIT_S[unit[0]])


def _number(text: str) -> float | None:
    """A plain decimal number; not what `float` takes besides (`1_0`, `nan`, `1e9`, other scripts' digits)."""
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None
