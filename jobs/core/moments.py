"""Moments as people type them: `14:00`, `tomorrow 08:00`, `2h`, `2026-12-01 08:00`. Pure."""

import re
from datetime import datetime, timedelta

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|m|h|d)", re.ASCII)
_CLOCK = re.compile(r"(tomorrow\s+)?(\d{1,2}):(\d{2})", re.ASCII)

ACCEPTED = "write 14:00, tomorrow 08:00, 2h (units s, m, h, d) or 2026-12-01T08:00"


def span_s(text: str) -> float:
    """Seconds of `90s`, `15m`, `2h`, `90d`. Raises ValueError."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no span of time: write 90s, 15m, 2h, 90d")
    return float(match[1]) * _UNITS_S[match[2]]


def moment(text: str, now: datetime) -> datetime:
    """The moment after `now` (with a time zone) that is meant. Raises ValueError: what is wrong and what is accepted.

    >>> moment("14:00", datetime.fromisoformat("2026-11-26T15:00:00+00:00")).isoformat()
    '2026-11-27T14:00:00+00:00'
    """
    words = " ".join(text.split()).lower()
    if _SPAN.fullmatch(words):
        return now + timedelta(seconds=span_s(words))
    try:
        found = _on_the_clock(words, now) or _with_date(text.strip(), now)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: {ACCEPTED}") from None
    if found <= now:
        raise ValueError(f"{text!r} is over already: {ACCEPTED}")
    return found


def _on_the_clock(words: str, now: datetime) -> datetime | None:
    match = _CLOCK.fullmatch(words)
    if match is None:
        return None
    today = now.replace(hour=int(match[2]), minute=int(match[3]), second=0, microsecond=0)
    return today + timedelta(days=1) if match[1] or today <= now else today


def _with_date(text: str, now: datetime) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
