"""What the environment says, read once at the edge into a frozen value that is passed down.

Each variable is looked for in this order; an empty one counts as not set:

1. the variable itself (`HF_TOKEN`),
2. the file that `NAME_FILE` names (`HF_TOKEN_FILE=/run/secrets/hf_token`), without surrounding white space,
3. both again in `.env`,
4. the default.

Nothing is written back: a token from `.env` never gets into `os.environ`, where child processes would see it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from jobs.config import converters as to
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

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LogFormat = Literal["text", "json"]


def _setting(default: Any, accepted: str, convert: Callable[[Any], Any]) -> Any:
    """A field whose value is converted, unless it is None by default; `accepted` tells users what it may be."""
    return field(default=default, metadata={"accepted": accepted, "convert": convert})


_SECONDS_ABOVE_0 = f"seconds above 0, at most {_DAY_S}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of chartq's settings; other types and values than a field's are converted, or refused with a ValueError.

    Variables are the fields' names in capitals, but for the few that `variables()` knows.
    """

    hf_token: Secret | None = _setting(None, "a token hf_...", to.secret(to.header_word))
    #: None: the default of the API kind.
    hf_base_url: str | None = _setting(None, to.BASE_URL, to.http_url)
    hf_api: Api = _setting("chat", "write chat or task", to.one_of(get_args(Api), str.lower))
    hf_task: Task = _setting(
        "visual-question-answering",
        "write visual-question-answering or image-to-text",
        to.one_of(get_args(Task), str.lower),
    )
    hf_bill_to: str | None = _setting(None, "an organisation's name", to.header_word)
    vision_model: str = _setting(DEFAULT_VISION_MODEL, "a model id such as org/name", to.model_id)
    reasoning_model: str = _setting(DEFAULT_TEXT_MODEL, "a model id such as org/name", to.model_id)
    vision_timeout_s: float = _setting(120.0, _SECONDS_ABOVE_0, to.between(to.number, above=0, most=_DAY_S))
    reasoning_timeout_s: float = _setting(120.0, _SECONDS_ABOVE_0, to.between(to.number, above=0, most=_DAY_S))
    max_retries: int = _setting(2, "a whole number from 0 to 100", to.between(to.whole_number, least=0, most=100))
    retry_delay_s: float = _setting(2.0, f"seconds, from 0 to {_DAY_S}", to.between(to.number, least=0, most=_DAY_S))
    hf_rate_limit: RateLimits = _setting(RateLimits(), "write 30/h or 5/s,30/h", to.rate_limits)
    hf_max_concurrency: int | None = _setting(None, "a whole number, 1 or more", to.between(to.whole_number, least=1))
    redis_url: Secret | None = _setting(None, to.REDIS_URL, to.secret(to.redis_url))
    results_url: Secret | None = _setting(None, to.RESULTS_URL, to.secret(to.results_url))
    chartq_home: Path = _setting(Path(".chartq"), "a folder", to.absolute_path)
    chart_root: Path | None = _setting(None, "a folder", to.resolved_path)
    image_max_side: int = _setting(2048, "pixels, 16 or more", to.between(to.whole_number, least=16))
    image_max_bytes: int = _setting(3_000_000, "bytes, 1024 or more", to.between(to.whole_number, least=1024))
    log_level: LogLevel = _setting(
        "INFO", "write DEBUG, INFO, WARNING, ERROR or CRITICAL", to.one_of(get_args(LogLevel), str.upper)
    )
    log_format: LogFormat = _setting("text", "write text or json", to.one_of(get_args(LogFormat), str.lower))
    #: Where the end of a batch is told, and what that is signed with.
    webhook_url: Secret | None = _setting(None, to.WEBHOOK_URL, to.secret(to.webhook_url))
    webhook_secret: Secret | None = _setting(None, to.WEBHOOK_KEY, to.secret(to.webhook_secret))
    #: Answers of the rehearsal server count as answers here.
    rehearsal: bool = _setting(False, "write 1 or 0", to.switch)

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _converted(one, getattr(self, one.name)))


#: What each field accepts, for users, by the fields' names in their order.
ACCEPTED: Mapping[str, str] = {one.name: one.metadata["accepted"] for one in fields(Settings)}


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
    found, problems = look_up(wanted, env_file=env_file, secret=_SECRET)
    values: dict[str, Any] = {name: one.value for name, one in found.items()} | given
    problems += [_line(name, "no such setting", found, value) for name, value in given.items() if name not in ACCEPTED]
    usable: dict[str, Any] = {}
    for one in fields(Settings):
        value = values.get(one.name, one.default)
        try:
            usable[one.name] = _converted(one, value)
        except to.UnusableError as error:
            problems.append(_line(one.name, str(error), found, value))
        except (TypeError, ValueError):
            problems.append(_line(one.name, ACCEPTED[one.name], found, value))
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


def _converted(one: "Field[Any]", value: object) -> Any:
    """A field's value as Settings holds it; alone, so that each problem is told under its own name."""
    return None if value is None and one.default is None else one.metadata["convert"](value)


def _line(field: str, accepted: str, found: Mapping[str, Found], value: object) -> str:
    origin = found[field].origin if field in found else variables(field)[0]
    if field in _SECRET or "@" in str(value):  # a URL with a password in it, where none belongs
        return f"{origin} can't be used (value not shown): {accepted}"
    return f"{origin}={_clipped(value)} can't be used: {accepted}"


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) and not value.isprintable() else str(value)
    return text if len(text) <= 200 else text[:200] + "..."
