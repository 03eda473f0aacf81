"""Which error a reply is that isn't a 2xx, and what the server said about it.

From recorded exchanges (2026) and the providers' own docs.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from worker.hf.errors import (
    ErrorContext,
    HFAPIError,
    HFAuthenticationError,
    HFBlockedError,
    HFCreditsError,
    HFGatedModelError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFPermissionError,
    HFRateLimitError,
    HFRequestError,
    HFServerError,
    clip,
)
from worker.hf.json_text import parse_json
from worker.hf.quota import is_used_up
from worker.hf.retry_hints import hint_s

#: Where servers put their words, best first.
_WORD_FIELDS = ("error", "message", "msg", "detail", "error_description", "errors")

#: How often a value inside a value is opened: object in string in object is the worst one seen.
_MAX_OPENED = 6

#: Entries of a list that are quoted.
_MAX_QUOTED = 5

#: Characters of a page in which title and text are looked for.
_SEARCHED_CHARS = 20_000

_HTML = re.compile(r"\A\s*(?:<!doctype html|<html|<head|<body|<h1|<title)", re.I)
_HTML_TITLE = re.compile(r"<(title|h1)[^>]{0,200}>([^<]{1,500})", re.I)
_HTML_TAG = re.compile(r"<[^<>]{0,500}>")
_NOT_SERVED = re.compile(r"model_not_(?:supported|found)|(?:is )?not supported by (?:any )?provider", re.I)
_LOADING = re.compile(r"\bloading\b|estimated_time|scaled to zero|\binitiali[sz]ing\b|\bwarming up\b", re.I)
#: Cloudflare's page in a line.
_PLAIN_PAGE = re.compile(r"error code: 1\d{3}\s*")
_NO_PERMISSION = re.compile(r"sufficient permissions?", re.I)

_BY_STATUS: dict[int, type[HFAPIError]] = {
    401: HFAuthenticationError,
    402: HFCreditsError,
    404: HFModelNotFoundError,
    405: HFModelNotFoundError,  # there is a server, but no such API: HF_BASE_URL is wrong for every job
    410: HFModelNotFoundError,
    408: HFServerError,
    409: HFServerError,
    424: HFServerError,
    425: HFServerError,
    407: HFBlockedError,
    429: HFRateLimitError,
    451: HFBlockedError,
    511: HFBlockedError,  # RFC 6585: a network that wants a login first
}

#: With these, a page instead of JSON is not the API's answer: a firewall, a proxy or a portal stands before it.
_PAGE_MEANS_BLOCKED = (401, 403)

#: With these, a text may say that the account has nothing left.
_MAY_BE_USED_UP = (400, 403, 429)

_SAYS: dict[type[HFAPIError], str] = {
    HFAuthenticationError: "The token was refused",
    HFPermissionError: "The token may not call Inference Providers",
    HFCreditsError: "The account's credits are used up",
    HFModelNotFoundError: "The model is not served here",
    HFGatedModelError: "The model is closed to this account",
    HFBlockedError: "A firewall or proxy, not the API, turned the call away",
    HFRateLimitError: "Too many requests",
    HFModelLoadingError: "The model is being loaded",
    HFRequestError: "The server refused this request",
    HFServerError: "The server failed",
}


def refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> HFAPIError:
    """The typed error for a reply with this status. Takes any bytes and headers; `now` is for HTTP dates."""
    said = error_text(headers, body)
    wait_s = hint_s(status, headers, body, now=now or datetime.now(UTC))
    kind = _kind(status, headers, body, said, wait_s)
    place = _redirect(status, headers)
    return kind(
        f"{_SAYS[kind]} ({status}){place}: {said or 'the server gave no reason'}",
        **vars(context(status, headers, wait_s)),
    )


def credits_error(status: int, headers: Mapping[str, str], said: str) -> HFCreditsError:
    """Nothing is left, whatever the status was."""
    return HFCreditsError(f"{_SAYS[HFCreditsError]} ({status}): {said}", **vars(context(status, headers)))


def context(status: int, headers: Mapping[str, str], wait_s: float | None = None) -> ErrorContext:
    """What every error and answer keeps of a reply's headers."""
    return ErrorContext(
        status_code=status,
        hint_s=wait_s,
        request_id=header(headers, "x-request-id"),
        provider=header(headers, "x-inference-provider"),
    )


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header's value, whatever the case of its name; None if it is missing or empty."""
    for key, value in headers.items():
        if str(key).lower() == name:
            return clip(str(value), 200) or None
    return None


def error_text(headers: Mapping[str, str], body: bytes) -> str:
    """The server's own words, "" if there are none: JSON in all its forms, HTML's title, plain text."""
    text = body[:_SEARCHED_CHARS].decode("utf-8", "replace").strip()
    try:
        said = words(parse_json(body))
    except ValueError:
        said = _from_page(text) if is_html(text) else text
    return clip(said) or header(headers, "x-error-message") or ""


def words(value: Any, opened: int = 0) -> str:
    """What a JSON value says: a string, the first telling field of an object, the entries of a list."""
    if opened > _MAX_OPENED:
        return ""
    if isinstance(value, str):
        return _from_string(value, opened)
    if isinstance(value, list):
        return "; ".join(filter(None, (words(entry, opened + 1) for entry in value[:_MAX_QUOTED])))
    if isinstance(value, dict):
        found = (words(value[field], opened + 1) for field in _WORD_FIELDS if value.get(field))
        return next(filter(None, found), "")
    return ""


def is_html(text: str) -> bool:
    return _HTML.match(text) is not None


def _from_string(text: str, opened: int) -> str:
    """Providers behind the router pass their JSON on as a string."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return words(parse_json(text), opened + 1) or text
        except ValueError:
            pass
    return text


def _from_page(page: str) -> str:
    from html import unescape  # its table of names takes half a megabyte, which a worker seldom needs

    title = _HTML_TITLE.search(page)
    rest = _HTML_TAG.sub(" ", page[title.end() :] if title else page)
    return "; ".join(filter(None, (unescape(part).strip() for part in (title[2] if title else "", rest))))


def _kind(status: int, headers: Mapping[str, str], body: bytes, said: str, wait_s: float | None) -> type[HFAPIError]:
    code = error_code(_value(body))
    if status in _MAY_BE_USED_UP and is_used_up(said, code, hint_s=wait_s):
        return HFCreditsError
    if status in _PAGE_MEANS_BLOCKED and _is_page(headers, body):
        return HFBlockedError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status <= 399:
        return HFModelNotFoundError  # every job would be redirected alike: the base URL is wrong
    if status == 403:
        return HFPermissionError if _NO_PERMISSION.search(said) else HFGatedModelError
    if status == 400 and _NOT_SERVED.search(f"{said} {code}"):
        return HFModelNotFoundError
    if status == 503 and _LOADING.search(said + body[:2_000].decode("utf-8", "replace")):
        return HFModelLoadingError
    return HFRequestError if 400 <= status <= 499 else HFServerError


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """HTML, or XML as storage services send it, by its type or its first character; Cloudflare's short form."""
    start = body[:1_000].decode("utf-8-sig", "replace").lstrip()
    is_json = start.startswith(("{", "[", '"'))
    is_html_type = "html" in (header(headers, "content-type") or "").lower()
    return start.startswith("<") or (is_html_type and not is_json) or _PLAIN_PAGE.fullmatch(start) is not None


def _value(body: bytes) -> Any:
    try:
        return parse_json(body)
    except ValueError:
        return None


def error_code(value: Any) -> str:
    """The machine-readable codes of an OpenAI error object, with a space between them."""
    holders = [value, value.get("error")] if isinstance(value, dict) else []
    return " ".join(
        str(holder[field])[:100]
        for holder in holders
        if isinstance(holder, dict)
        for field in ("code", "type", "error_type")
        if holder.get(field)
    )


def _redirect(status: int, headers: Mapping[str, str]) -> str:
    """Where a redirect leads (never followed: the token goes to the configured host only)."""
    location = header(headers, "location") if 300 <= status <= 399 else None
    if location is None:
        return ""
    try:
        parts = urlsplit(location)
        shown = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path
    except ValueError:
        shown = "an unreadable address"
    return f", it redirects to {clip(shown, 120)}; set HF_BASE_URL to where the API is"
