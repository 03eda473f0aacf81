"""How the Hugging Face client is set up."""

import math
import os
import re
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

from jobs.core.job import Api, Task

ROUTER_URL = "https://router.huggingface.co"

#: Where each kind of API is when nobody says otherwise.
DEFAULT_BASE_URLS: dict[Api, str] = {"chat": f"{ROUTER_URL}/v1", "task": f"{ROUTER_URL}/hf-inference"}

TaskName = Task | Literal["text-generation"]

#: The path that people copy along with a base URL.
_COPIED_PATH = re.compile(r"/chat/completions/*$")


def _from_environment() -> str | None:
    """HF_BASE_URL, so that scripts written for Hugging Face run against any server unchanged."""
    return os.environ.get("HF_BASE_URL", "").strip() or None


@dataclass(frozen=True)
class HFConfig:
    """Everything the client needs to know; checked when it is made. `repr` leaves the token out.

    Raises ValueError for what can't be used, without showing the token.
    """

    #: Empty: no Authorization header, as local servers like it.
    api_key: str | None = field(default=None, repr=False)
    #: The model for calls that name none.
    model_id: str | None = None
    #: Seconds for one whole call: connecting, uploading, waiting and reading.
    timeout: float = 120.0
    #: Further attempts of the `query_` methods after a failure that may pass.
    max_retries: int = 2
    #: Seconds before the first retry; doubles with each.
    retry_delay: float = 2.0
    #: Where the API is; None: Hugging Face's own for this kind of API. Default: HF_BASE_URL.
    base_url: str | None = field(default_factory=_from_environment)
    api: Api = "chat"
    #: With `api="task"`: which classic body carries an image.
    task: Task = "visual-question-answering"
    #: Organisation to charge.
    bill_to: str | None = None
    #: Connections kept open per host; as many as there are threads.
    pool_size: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", _clean_header(self.api_key, "api_key (HF_TOKEN)"))
        object.__setattr__(self, "bill_to", _clean_header(self.bill_to, "bill_to (HF_BILL_TO)"))
        _check_numbers(self)
        if self.api not in DEFAULT_BASE_URLS:
            raise ValueError(f"api must be 'chat' or 'task', not {self.api!r}")
        if self.task not in get_args(Task):
            raise ValueError(f"task must be 'visual-question-answering' or 'image-to-text', not {self.task!r}")
        if self.base_url is not None:
            object.__setattr__(self, "base_url", _clean_url(self.base_url))

    def url_of(self, api: Api) -> str:
        """The base URL for this kind of API, without a slash at the end."""
        return self.base_url or DEFAULT_BASE_URLS[api]


def _clean_header(value: str | None, name: str) -> str | None:
    """`value` without white space around it. Raises ValueError if it couldn't stand in a header."""
    stripped = (value or "").strip()
    if not stripped:
        return None
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError(f"{name} holds a space, a line break or a character that no token has")
    return stripped


def _check_numbers(config: HFConfig) -> None:
    if not (math.isfinite(config.timeout) and config.timeout > 0):
        raise ValueError(f"timeout must be a positive number of seconds, not {config.timeout!r}")
    if not (math.isfinite(config.retry_delay) and config.retry_delay >= 0):
        raise ValueError(f"retry_delay must be a number of seconds, not {config.retry_delay!r}")
    if config.max_retries < 0:
        raise ValueError(f"max_retries must be 0 or more, not {config.max_retries!r}")
    if config.pool_size < 1:
        raise ValueError(f"pool_size must be 1 or more, not {config.pool_size!r}")


def _clean_url(url: str) -> str:
    cleaned = _COPIED_PATH.sub("", url.strip()).rstrip("/")
    try:
        parts = urlsplit(cleaned)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            "base_url (HF_BASE_URL) must look like https://host/v1, without a user name, password or query"
        )
    return cleaned
