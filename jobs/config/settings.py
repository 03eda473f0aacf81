"""What the environment says, read once at the edge into a frozen value that is passed down.

Each variable is looked for in this order; an empty one counts as not set:

1. the variable itself (`HF_TOKEN`),
2. the file that `NAME_FILE` names (`HF_TOKEN_FILE=/run/secrets/hf_token`), without surrounding white space,
3. both again in `.env`,
4. the default.

Nothing is written back: a token from `.env` never gets into `os.environ`, where child processes would see it.
"""

import base64
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import SplitResult, unquote, urlsplit

import attrs
from attrs.validators import ge, gt, in_, instance_of, le, max_len

from jobs.config.environment import Found, look_up
from jobs.config.token_destination import is_hugging_face_or_loopback
from jobs.core.errors import SettingsError
from jobs.core.job import DEFAULT_TEXT_MODEL, DEFAULT_VISION_MODEL, Api, Task
from jobs.core.rates import RateLimits
from jobs.core.secret import Secret

#: Fields that are read from something other than their own name in capitals.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "hf_token": ("HF_TOKEN", "HF_API_KEY"),
    "vision_timeout_s": ("VISION_TIMEOUT",),
    "reasoning_timeout_s": ("REASONING_TIMEOUT",),
    "retry_delay_s": ("RETRY_DELAY",),
    "rehearsal": ("CHARTQ_REHEARSAL",),
    "webhook_url": ("CHARTQ_WEBHOOK_URL",),
    "webhook_secret": ("CHARTQ_WEBHOOK_SECRET",),
}

#: Their values are never shown.
_SECRET = frozenset({"hf_token", "redis_url", "results_url", "webhook_url", "webhook_secret"})

#: A day: longer waits are typing errors, and far longer ones overflow the clocks of the system.
_DAY_S = 86_400

_REDIS_URL = "write redis://[user:password@]host[:port][/db], rediss://... (TLS) or unix:///path/to/socket"
_RESULTS_URL = "write sqlite:////absolute/path or postgresql+psycopg://user:password@host/database"
_WEBHOOK_URL = "write http(s)://host[:port]/path"
_WEBHOOK_KEY = "write whsec_ and 24 to 64 random bytes in base64, as `openssl rand -base64 32` makes them"
_BASE_URL = "write http(s)://host[:port][/path] without user, password, ? and #"


class UnusableError(ValueError):
    """Says what is accepted better than the setting's own line; never holds the value."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _without_gaps(value: object) -> str:
    """White space and control characters inside come from bad copying, and would break headers and logs."""
    text = _text(value)
    if any(char.isspace() or not char.isprintable() for char in text):
        raise UnusableError("it has white space or control characters inside: copy it again")
    return text


def _header_word(value: object) -> str:
    text = _without_gaps(value)
    if not text.isascii():
        raise UnusableError("it has characters that no token and no organisation's name has: copy it again")
    return text


def _model_id(value: object) -> str:
    text = _without_gaps(value)
    if not text:
        raise ValueError
    return text


def _lower(value: object) -> str:
    return _text(value).lower()


def _upper(value: object) -> str:
    return _text(value).upper()


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = value if isinstance(value, float) else float(_text(value))
    if not number.is_integer():  # 2.0 is as good as 2
        raise ValueError
    return int(number)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(_text(value))


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL; None if it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _http_url(value: object) -> str:
    text = _without_gaps(value)
    parts = _split(text)
    if parts is None or parts.username is not None or parts.query or parts.fragment:
        raise UnusableError(_BASE_URL)
    return text.rstrip("/")


def _webhook_url(value: object) -> str:
    text = _without_gaps(value)
    if _split(text) is None:
        raise UnusableError(_WEBHOOK_URL)
    return text


def _webhook_secret(value: object) -> str:
    text = _without_gaps(value)
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise UnusableError(_WEBHOOK_KEY)
    return text


def _redis_url(value: object) -> str:
    text = _without_gaps(value)
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 (reading it is the check)
    except ValueError:
        # The library's own text would show the part of a password that it took for a port.
        raise UnusableError(_REDIS_URL + "; in a password / ? # @ : are written %2F %3F %23 %40 %3A") from None
    network = parts.scheme in {"redis", "rediss"} and parts.hostname
    # redis-py takes database 0 when the path is no number: the queue would be somewhere else than written.
    database_ok = re.fullmatch(r"/?|/\d{1,9}", unquote(parts.path), re.ASCII)
    if not (network and database_ok) and not (parts.scheme == "unix" and parts.path):
        raise UnusableError(_REDIS_URL)
    return text


def _results_url(value: object) -> str:
    text = _text(value)
    if not re.match(r"(sqlite|postgresql)(\+[a-z0-9_]+)?://", text):
        raise UnusableError(_RESULTS_URL)
    return text


def _secret(convert: Callable[[object], str]) -> Callable[[object], Secret]:
    return lambda value: Secret(convert(value.get_secret_value() if isinstance(value, Secret) else value))


def _absolute(value: object) -> Path:
    path = value if isinstance(value, Path) else Path(_text(value))
    if "\0" in str(path):
        raise UnusableError("a path has no NUL characters")
    try:
        return path.expanduser().absolute()
    except (OSError, RuntimeError) as error:  # the working directory is gone; ~nobody/...
        raise UnusableError(str(error)) from None


def _resolved(value: object) -> Path:
    try:
        return _absolute(value).resolve()
    except (OSError, RuntimeError) as error:  # a circle of symbolic links
        raise UnusableError(str(error)) from None


def _limits(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return RateLimits.parse(value)
    except ValueError as error:
        if "@" in value:  # the error shows a part of it: see `_line`
            raise
        raise UnusableError(str(error)) from None


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LogFormat = Literal["text", "json"]


def _setting(
    default: Any, accepted: str, convert: Callable[[Any], Any], *checks: Callable[[Any, Any, Any], Any]
) -> Any:
    """A field whose value, unless None, is converted and then checked; `accepted` tells users what it may be."""
    if default is None:
        convert = attrs.converters.optional(convert)
        checks = tuple(attrs.validators.optional(check) for check in checks)
    return attrs.field(default=default, converter=convert, validator=list(checks), metadata={"accepted": accepted})


_SECONDS_ABOVE_0 = f"seconds above 0, at most {_DAY_S}"


@attrs.frozen(kw_only=True)
class Settings:
    """All of chartq's settings; other types and values than a field's are converted, or refused with a ValueError.

    Variables are the fields' names in capitals, but for the few that `variables()` knows.
    """

    hf_token: Secret | None = _setting(None, "a token hf_...", _secret(_header_word))
    #: None: the default of the API kind.
    hf_base_url: str | None = _setting(None, _BASE_URL, _http_url)
    hf_api: Api = _setting("chat", "write chat or task", _lower, in_(get_args(Api)))
    hf_task: Task = _setting(
        "visual-question-answering", "write visual-question-answering or image-to-text", _lower, in_(get_args(Task))
    )
    hf_bill_to: str | None = _setting(None, "an organisation's name", _header_word)
    vision_model: str = _setting(DEFAULT_VISION_MODEL, "a model id such as org/name", _model_id, max_len(300))
    reasoning_model: str = _setting(DEFAULT_TEXT_MODEL, "a model id such as org/name", _model_id, max_len(300))
    vision_timeout_s: float = _setting(120.0, _SECONDS_ABOVE_0, _number, gt(0), le(_DAY_S))
    reasoning_timeout_s: float = _setting(120.0, _SECONDS_ABOVE_0, _number, gt(0), le(_DAY_S))
    max_retries: int = _setting(2, "a whole number from 0 to 100", _whole, ge(0), le(100))
    retry_delay_s: float = _setting(2.0, f"seconds, from 0 to {_DAY_S}", _number, ge(0), le(_DAY_S))
    hf_rate_limit: RateLimits = _setting(RateLimits(), "write 30/h or 5/s,30/h", _limits, instance_of(RateLimits))
    hf_max_concurrency: int | None = _setting(None, "a whole number, 1 or more", _whole, ge(1))
    redis_url: Secret | None = _setting(None, _REDIS_URL, _secret(_redis_url))
    results_url: Secret | None = _setting(None, _RESULTS_URL, _secret(_results_url))
    chartq_home: Path = _setting(Path(".chartq"), "a folder", _absolute)
    chart_root: Path | None = _setting(None, "a folder", _resolved)
    image_max_side: int = _setting(2048, "pixels, 16 or more", _whole, ge(16))
    image_max_bytes: int = _setting(3_000_000, "bytes, 1024 or more", _whole, ge(1024))
    log_level: LogLevel = _setting(
        "INFO", "write DEBUG, INFO, WARNING, ERROR or CRITICAL", _upper, in_(get_args(LogLevel))
    )
    log_format: LogFormat = _setting("text", "write text or json", _lower, in_(get_args(LogFormat)))
    #: Where the end of a batch is told, and what that is signed with.
    webhook_url: Secret | None = _setting(None, _WEBHOOK_URL, _secret(_webhook_url))
    webhook_secret: Secret | None = _setting(None, _WEBHOOK_KEY, _secret(_webhook_secret))
    #: Answers of the rehearsal server count as answers here.
    rehearsal: bool = _setting(False, "write 1 or 0", attrs.converters.to_bool)


#: What each field accepts, for users, by the fields' names in their order.
ACCEPTED: Mapping[str, str] = {field.name: field.metadata["accepted"] for field in attrs.fields(Settings)}


def variables(field: str) -> tuple[str, ...]:
    """The variables that a field of Settings is read from, the first one that is set wins."""
    return _OTHER_NAMES.get(field, (field.upper(),))


def producer_settings() -> Settings:
    """As `load_settings`, but for the token: who makes no call needs none, and may not be allowed to read its file."""
    return load_settings(unread=("hf_token",))


def load_settings(*, env_file: Path | None = Path(".env"), unread: Collection[str] = (), **overrides: Any) -> Settings:
    """Read the environment and `env_file` (which may be missing).

    `unread` fields keep their defaults. `overrides` are given by field name and win over everything; None means "not
    given".
    Raises SettingsError with a line for each problem, naming the variable, its value and what is accepted.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    wanted = {name: variables(name) for name in ACCEPTED if name not in given and name not in unread}
    found, problems = look_up(wanted, env_file=env_file)
    values: dict[str, Any] = {name: one.value for name, one in found.items()} | given
    problems += [_line(name, "no such setting", found, value) for name, value in given.items() if name not in ACCEPTED]
    usable: dict[str, Any] = {}
    for field in attrs.fields(Settings):
        value = values.get(field.name, field.default)
        try:
            usable[field.name] = _checked(field, value)
        except UnusableError as error:
            problems.append(_line(field.name, str(error), found, value))
        except (TypeError, ValueError):
            problems.append(_line(field.name, ACCEPTED[field.name], found, value))
    problems += _sent_astray(found)
    if problems:  # raised out here: the caught error, which may hold the value, is then not this one's context
        raise SettingsError("\n".join(problems))
    return Settings(**usable)


def _sent_astray(found: Mapping[str, Found]) -> list[str]:
    """A folder's `.env` may not say where its reader's own token is sent: the folder may be a stranger's."""
    url, token = found.get("hf_base_url"), found.get("hf_token")
    if url is None or token is None or not url.in_env_file or token.in_env_file:
        return []
    if is_hugging_face_or_loopback(url.value):
        return []
    shown = "(value not shown)" if "@" in url.value else _clipped(url.value)
    return [
        f"{url.origin}={shown} would get the token of {token.origin}, which stands elsewhere: if you trust that "
        "server, set HF_BASE_URL in the environment (export HF_BASE_URL=...), or put its own HF_TOKEN beside it"
    ]


def _checked(field: "attrs.Attribute[Any]", value: object) -> Any:
    """A field's value as Settings would hold it; alone, so that each problem is told under its own name."""
    convert: Any = field.converter
    converted = convert(value)
    if field.validator:
        field.validator(None, field, converted)
    return converted


def _line(field: str, accepted: str, found: Mapping[str, Found], value: object) -> str:
    """One problem, for the user."""
    origin = found[field].origin if field in found else variables(field)[0]
    if field in _SECRET or "@" in str(value):  # a URL with a password in it, where none belongs
        return f"{origin} can't be used (value not shown): {accepted}"
    return f"{origin}={_clipped(value)} can't be used: {accepted}"


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) and not value.isprintable() else str(value)
    return text if len(text) <= 200 else text[:200] + "..."
