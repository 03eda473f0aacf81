"""What the environment says, read once at the edge into a frozen value that is passed down.

Each variable is looked for in this order; an empty one counts as not set:

1. the variable itself (`HF_TOKEN`),
2. the file that `NAME_FILE` names (`HF_TOKEN_FILE=/run/secrets/hf_token`), without surrounding white space,
3. both again in `.env`,
4. the default.

Nothing is written back: a token from `.env` never gets into `os.environ`, where child processes would see it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from jobs.environment import Found, look_up
from jobs.errors import SettingsError
from jobs.job import Api, Task
from jobs.rates import RateLimits

#: Served by several providers, without "thinking" (hf/FACTS.md).
DEFAULT_VISION_MODEL = "Qwen/Qwen3-VL-30B-A3B-Instruct"
DEFAULT_REASONING_MODEL = "Qwen/Qwen3-235B-A22B-Instruct-2507"

#: Fields that are read from something other than their own name in capitals.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "hf_token": ("HF_TOKEN", "HF_API_KEY"),
    "vision_timeout_s": ("VISION_TIMEOUT",),
    "reasoning_timeout_s": ("REASONING_TIMEOUT",),
    "retry_delay_s": ("RETRY_DELAY",),
    "rehearsal": ("CHARTQ_REHEARSAL",),
}

#: Their values are never shown.
_SECRET = frozenset({"hf_token", "redis_url", "results_url"})

#: A day: longer waits are typing errors, and far longer ones overflow the clocks of the system.
_DAY_S = 86_400

_REDIS_URL = "write redis://[user:password@]host[:port][/db], rediss://... (TLS) or unix:///path/to/socket"
_RESULTS_URL = "write sqlite:////absolute/path or postgresql+psycopg://user:password@host/database"
_BASE_URL = "write http(s)://host[:port][/path] without user, password, ? and #"


def _without_gaps(text: str) -> str:
    """White space and control characters inside come from bad copying, and would break headers and logs."""
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("it has white space or control characters inside: copy it again")
    return text


def _header_word(text: str) -> str:
    if not _without_gaps(text).isascii():
        raise ValueError("it has characters that no token and no organisation's name has: copy it again")
    return text


def _token(secret: SecretStr) -> SecretStr:
    _header_word(secret.get_secret_value())
    return secret


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(_without_gaps(text))
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(_BASE_URL)
    return text.rstrip("/")


def _redis_url(secret: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(_without_gaps(secret.get_secret_value()))
        parts.port  # noqa: B018 (reading it is the check)
    except ValueError:
        # The library's own text would show the part of a password that it took for a port.
        raise ValueError(_REDIS_URL + "; in a password / ? # @ : are written %2F %3F %23 %40 %3A") from None
    network = parts.scheme in {"redis", "rediss"} and parts.hostname
    # redis-py takes database 0 when the path is no number: the queue would be somewhere else than written.
    database_ok = re.fullmatch(r"/?|/\d{1,9}", unquote(parts.path), re.ASCII)
    if not (network and database_ok) and not (parts.scheme == "unix" and parts.path):
        raise ValueError(_REDIS_URL)
    return secret


def _results_url(secret: SecretStr) -> SecretStr:
    if not re.match(r"(sqlite|postgresql)(\+[a-z0-9_]+)?://", secret.get_secret_value()):
        raise ValueError(_RESULTS_URL)
    return secret


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path has no NUL characters")
    try:
        return path.expanduser().absolute()
    except (OSError, RuntimeError) as error:  # the working directory is gone; ~nobody/...
        raise ValueError(str(error)) from None


def _resolved(path: Path) -> Path:
    try:
        return _absolute(path).resolve()
    except (OSError, RuntimeError) as error:  # a circle of symbolic links
        raise ValueError(str(error)) from None


def _limits(value: object) -> object:
    return RateLimits.parse(value) if isinstance(value, str) else value


def _folded(change: Callable[[str], str]) -> BeforeValidator:
    """Words are taken in any case."""
    return BeforeValidator(lambda value: change(value) if isinstance(value, str) else value)


_T = TypeVar("_T")
Lower = Annotated[_T, _folded(str.lower)]
ModelId = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_without_gaps)]
TimeoutSeconds = Annotated[float, Field(gt=0, le=_DAY_S, allow_inf_nan=False)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Settings(BaseModel):
    """All of chartq's settings. Each field's description is what its variable accepts.

    Variables are the fields' names in capitals, but for the few that `variables()` knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    hf_token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(default=None, description="a token hf_...")
    #: None: the default of the API kind.
    hf_base_url: Annotated[str, AfterValidator(_http_url)] | None = Field(default=None, description=_BASE_URL)
    hf_api: Lower[Api] = Field(default="chat", description="write chat or task")
    hf_task: Lower[Task] = Field(
        default="visual-question-answering", description="write visual-question-answering or image-to-text"
    )
    hf_bill_to: Annotated[str, AfterValidator(_header_word)] | None = Field(
        default=None, description="an organisation's name"
    )
    vision_model: ModelId = Field(default=DEFAULT_VISION_MODEL, description="a model id such as org/name")
    reasoning_model: ModelId = Field(default=DEFAULT_REASONING_MODEL, description="a model id such as org/name")
    vision_timeout_s: TimeoutSeconds = Field(default=120.0, description=f"seconds above 0, at most {_DAY_S}")
    reasoning_timeout_s: TimeoutSeconds = Field(default=120.0, description=f"seconds above 0, at most {_DAY_S}")
    max_retries: int = Field(default=2, ge=0, le=100, description="a whole number from 0 to 100")
    retry_delay_s: float = Field(
        default=2.0, ge=0, le=_DAY_S, allow_inf_nan=False, description=f"seconds, from 0 to {_DAY_S}"
    )
    hf_rate_limit: Annotated[InstanceOf[RateLimits], BeforeValidator(_limits)] = Field(
        default=RateLimits(), description="write 30/h or 5/s,30/h"
    )
    hf_max_concurrency: int | None = Field(default=None, ge=1, description="a whole number, 1 or more")
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(default=None, description=_REDIS_URL)
    results_url: Annotated[SecretStr, AfterValidator(_results_url)] | None = Field(
        default=None, description=_RESULTS_URL
    )
    chartq_home: Annotated[Path, AfterValidator(_absolute)] = Field(default=Path(".chartq"), description="a folder")
    chart_root: Annotated[Path, AfterValidator(_resolved)] | None = Field(default=None, description="a folder")
    image_max_side: int = Field(default=1024, ge=16, description="pixels, 16 or more")
    image_max_bytes: int = Field(default=1_000_000, ge=1024, description="bytes, 1024 or more")
    log_level: Annotated[LogLevel, _folded(str.upper)] = Field(
        default="INFO", description="write DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    log_format: Lower[Literal["text", "json"]] = Field(default="text", description="write text or json")
    #: Answers of the rehearsal server count as answers here.
    rehearsal: bool = Field(default=False, description="write 1 or 0")


def variables(field: str) -> tuple[str, ...]:
    """The variables that a field of Settings is read from, the first one that is set wins."""
    return _OTHER_NAMES.get(field, (field.upper(),))


def load_settings(*, env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Read the environment and `env_file` (which may be missing).

    `overrides` are given by field name and win over everything; None means "not given".
    Raises SettingsError with a line for each problem, naming the variable, its value and what is accepted.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    found, problems = look_up(
        {name: variables(name) for name in Settings.model_fields if name not in given}, env_file=env_file
    )
    values: dict[str, Any] = {name: one.value for name, one in found.items()} | given
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [_line(detail, found, values) for detail in error.errors(include_url=False)]
    if problems:  # raised out here: the caught error, which holds the values, is then not this one's context
        raise SettingsError("\n".join(problems))
    return settings


def _line(detail: ErrorDetails, found: Mapping[str, Found], values: Mapping[str, Any]) -> str:
    """One problem, for the user."""
    field = str(detail["loc"][0])
    origin = found[field].origin if field in found else variables(field)[0]
    accepted = Settings.model_fields[field].description if field in Settings.model_fields else "no such setting"
    if detail["type"] == "value_error":
        accepted = str(detail["ctx"]["error"])
    value = values.get(field, "")
    if field in _SECRET or "@" in str(value):  # a URL with a password in it, where none belongs
        return f"{origin} can't be used (value not shown): {accepted}"
    return f"{origin}={_clipped(value)} can't be used: {accepted}"


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) and not value.isprintable() else str(value)
    return text if len(text) <= 200 else text[:200] + "..."
