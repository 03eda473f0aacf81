"""What a setting's text is made into, and what is accepted: each function converts a value, or raises.

A ValueError or TypeError: the setting's own line tells what is accepted. An UnusableError says it better.
"""

import base64
import re
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from jobs.core.job import is_model_id
from jobs.core.rates import RateLimits
from jobs.core.secret import Secret

REDIS_URL = "write redis://[user:password@]host[:port][/db], rediss://... (TLS) or unix:///path/to/socket"
RESULTS_URL = "write sqlite:////absolute/path or postgresql+psycopg://user:password@host/database"
WEBHOOK_URL = "write http(s)://host[:port]/path"
WEBHOOK_KEY = "write whsec_ and 24 to 64 random bytes in base64, as `openssl rand -base64 32` makes them"
BASE_URL = "write http(s)://host[:port][/path] without user, password, ? and #"

_ON, _OFF = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")


class UnusableError(ValueError):
    """Says what is accepted better than the setting's own line; never holds the value."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _without_gaps(value: object) -> str:
    """White space and control characters inside come from bad copying, and would break headers and logs."""
    text = _text(value)
    if " " in text or not text.isprintable():  # which no other white space is
        raise UnusableError("it has white space or control characters inside: copy it again")
    return text


def header_word(value: object) -> str:
    text = _without_gaps(value)
    if not text.isascii():
        raise UnusableError("it has characters that no token and no organisation's name has: copy it again")
    return text


def model_id(value: object) -> str:
    text = _without_gaps(value)
    if not is_model_id(text):
        raise ValueError
    return text


def one_of(choices: Sequence[str], spelled: Callable[[str], str]) -> Callable[[object], str]:
    def convert(value: object) -> str:
        text = spelled(_text(value))
        if text not in choices:
            raise ValueError
        return text

    return convert


def switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return one_of((*_ON, *_OFF), str.lower)(value) in _ON


def whole_number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = value if isinstance(value, float) else float(_text(value))
    if not number.is_integer():  # 2.0 is as good as 2
        raise ValueError
    return int(number)


def number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(_text(value))


N = TypeVar("N", int, float)


def between(
    convert: Callable[[object], N], *, least: float = -inf, above: float = -inf, most: float = inf
) -> Callable[[object], N]:
    def converted(value: object) -> N:
        number = convert(value)
        if not (least <= number <= most and number > above):
            raise ValueError
        return number

    return converted


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL; None if it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def http_url(value: object) -> str:
    text = _without_gaps(value)
    parts = _split(text)
    if parts is None or parts.username is not None or parts.query or parts.fragment:
        raise UnusableError(BASE_URL)
    return text.rstrip("/")


def webhook_url(value: object) -> str:
    text = _without_gaps(value)
    if _split(text) is None:
        raise UnusableError(WEBHOOK_URL)
    return text


def webhook_secret(value: object) -> str:
    text = _without_gaps(value)
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise UnusableError(WEBHOOK_KEY)
    return text


def redis_url(value: object) -> str:
    text = _without_gaps(value)
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 (reading it is the check)
    except ValueError:
        # The library's own text would show the part of a password that it took for a port.
        raise UnusableError(REDIS_URL + "; in a password / ? # @ : are written %2F %3F %23 %40 %3A") from None
    network = parts.scheme in {"redis", "rediss"} and parts.hostname
    # redis-py takes database 0 when the path is no number: the queue would be somewhere else than written.
    database_ok = re.fullmatch(r"/?|/\d{1,9}", unquote(parts.path), re.ASCII)
    if not (network and database_ok) and not (parts.scheme == "unix" and parts.path):
        raise UnusableError(REDIS_URL)
    return text


def results_url(value: object) -> str:
    text = _text(value)
    if not re.match(r"(sqlite|postgresql)(\+[a-z0-9_]+)?://", text):
        raise UnusableError(RESULTS_URL)
    return text


def secret(convert: Callable[[object], str]) -> Callable[[object], Secret]:
    return lambda value: Secret(convert(value.get_secret_value() if isinstance(value, Secret) else value))


def absolute_path(value: object) -> Path:
    path = value if isinstance(value, Path) else Path(_text(value))
    if "\0" in str(path):
        raise UnusableError("a path has no NUL characters")
    try:
        return path.expanduser().absolute()
    except (OSError, RuntimeError) as error:  # the working directory is gone; ~nobody/...
        raise UnusableError(str(error)) from None


def resolved_path(value: object) -> Path:
    try:
        return absolute_path(value).resolve()
    except (OSError, RuntimeError) as error:  # a circle of symbolic links
        raise UnusableError(str(error)) from None


def rate_limits(value: object) -> RateLimits:
    if isinstance(value, RateLimits):
        return value
    text = _text(value)
    try:
        return RateLimits.parse(text)
    except ValueError as error:
        if "@" in text:  # the error shows a part of it: see `_line`
            raise
        raise UnusableError(str(error)) from None
