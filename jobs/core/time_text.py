"""Moments and durations as text, for machines and for people."""

from datetime import datetime, timedelta
from typing import overload

#: In UTC; a moment that says so itself takes longer to write.
_EPOCH = datetime(1970, 1, 1)


@overload
def iso(at: float) -> str: ...
@overload
def iso(at: float | None) -> str | None: ...
def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if at is None:
        return None
    return (_EPOCH + timedelta(seconds=at)).isoformat(timespec="milliseconds") + "Z"


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3.5 h, 2 days."""
    for unit, length_s, below in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < below * length_s:
            value = seconds / length_s
            return f"{value:.0f} {unit}" if unit != "h" else f"{value:.1f} h"
    return f"{seconds / 86400:.1f} days"


def clock(at: float, now: float) -> str:
    """A moment on the reader's own clock; with its day if that is another one."""
    there, here = (datetime.fromtimestamp(moment).astimezone() for moment in (at, now))
    return f"{there:%H:%M:%S}" if there.date() == here.date() else f"{there:%Y-%m-%d %H:%M}"
