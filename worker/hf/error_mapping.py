"""Which error a reply is: one with a bad status, or with a good one and an error in its body.

From recorded exchanges (2026) and the providers' own docs.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from worker.hf.error_codes import is_filtered, is_used_up, status_meant
from worker.hf.error_words import error_codes, error_text, header, is_html
from worker.hf.errors import (
    ErrorContext,
    HFAPIError,
    HFAuthenticationError,
    HFBadAnswerError,
    HFBlockedError,
    HFContentFilterError,
    HFCreditsError,
    HFErrorReplyError,
    HFGatedModelError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFPermissionError,
    HFRateLimitError,
    HFRequestError,
    HFServerError,
    clip,
)
from worker.hf.json_text import parsed
from worker.hf.retry_hints import MAX_HINT_S, asked_s

_NOT_SERVED = re.compile(
    r"not supported by (?:any )?provider|model (?:does not|doesn't) exist|not a valid model|invalid model name", re.I
)
#: No waiting cures these, whatever status they come with.
_TOO_LARGE = re.compile(r"request too large", re.I)
_UNSUPPORTED = re.compile(r"\b(?:not|n't) support|\bunsupported\b", re.I)
_PICTURES = re.compile(r"image|vision|multi-?modal|mmproj|modalit", re.I)
_LOADING = re.compile(r"(?:\b|_)loading\b|estimated_time|scaled to zero|\binitiali[sz]ing\b|\bwarming up\b", re.I)
#: Cloudflare's page in a line.
_PLAIN_PAGE = re.compile(r"error code: 1\d{3}\s*")
#: What a 403 is about; what is none of these is a firewall's or a gateway's.
_NO_PERMISSION = re.compile(r"sufficient permissions?|inference\.serverless", re.I)
_GATED = re.compile(r"\b(?:gated|terms|licen[cs]e|agreement|models?|repo(?:sitory)?|restricted)\b", re.I)
_TOKEN = re.compile(r"\b(?:api[ _-]?key|token|account|credentials?|organi[sz]ation|project)\b", re.I)

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
    420: HFRateLimitError,
    429: HFRateLimitError,
    501: HFRequestError,  # llama.cpp: a model without eyes
    498: HFRateLimitError,  # Groq: no capacity left
    499: HFServerError,  # a proxy's: the connection behind it was closed
    451: HFBlockedError,
    511: HFBlockedError,  # RFC 6585: a network that wants a login first
}

#: With these, a page instead of JSON is not the API's answer: a firewall, a proxy or a portal stands before it.
_PAGE_MEANS_BLOCKED = (401, 403)

#: With these, codes and words are believed before the status: gateways send them for whatever went wrong.
_VAGUE = (*range(200, 300), 400, 403)

_SAYS: dict[type[HFAPIError], str] = {
    HFAuthenticationError: "The token was refused",
    HFPermissionError: "The token may not call Inference Providers",
    HFCreditsError: "The account's credits are used up",
    HFModelNotFoundError: "The model is not served here",
    HFGatedModelError: "The model is closed to this account",
    HFBlockedError: "Turned away, it seems by a firewall, a proxy or a gateway",
    HFRateLimitError: "Too many requests",
    HFModelLoadingError: "The model is being loaded",
    HFRequestError: "The server refused this request",
    HFServerError: "The server failed",
    HFContentFilterError: "The provider's content filter refused it; ask in other words, or another model or provider",
    HFErrorReplyError: "The reply is an error",
    HFBadAnswerError: "The reply is an error",
}


def refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> HFAPIError:
    """The typed error for a reply that is one. Takes any bytes and headers; `now` is for HTTP dates."""
    said = error_text(headers, body)
    codes = error_codes(parsed(body), said)
    meant = _meant(status, said, codes)
    wait_s = asked_s(meant, headers, body, now=now or datetime.now(UTC))
    if meant in _PAGE_MEANS_BLOCKED and _is_page(headers, body):
        kind: type[HFAPIError] = HFBlockedError
    elif status in (*_VAGUE, 422) and is_filtered(said, codes):
        kind = HFContentFilterError
    elif (400 <= meant <= 499 or status < 300) and is_used_up(status, said, codes, hint_s=wait_s):
        kind = HFCreditsError
    else:
        kind = _kind(meant, said, body)
    return kind(
        f"{_SAYS[kind]} ({status}){_redirect(status, headers)}: {said or 'the server gave no reason'}",
        **vars(context(status, headers, None if wait_s is None else min(wait_s, MAX_HINT_S))),
    )


def _meant(status: int, said: str, codes: Sequence[str]) -> int:
    if status not in _VAGUE:
        return status
    found = status_meant(codes, said if status < 300 else "")
    return status if found in (None, 400) and status >= 300 else found or status


def context(status: int, headers: Mapping[str, str], wait_s: float | None = None) -> ErrorContext:
    """What every error and answer keeps of a reply's headers."""
    return ErrorContext(
        status_code=status,
        hint_s=wait_s,
        request_id=header(headers, "x-request-id"),
        provider=header(headers, "x-inference-provider"),
    )


def _kind(status: int, said: str, body: bytes) -> type[HFAPIError]:
    if (status == 429 and _TOO_LARGE.search(said)) or (status == 500 and _is_blind(said)):
        return HFRequestError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 200 <= status <= 299:
        return HFErrorReplyError if said else HFBadAnswerError
    if 300 <= status <= 399:
        return HFModelNotFoundError  # every job would be redirected alike: the base URL is wrong
    if status == 403:
        return _forbidden(said)
    if status == 400 and _NOT_SERVED.search(said):
        return HFModelNotFoundError
    if status == 503 and _LOADING.search(said + body[:2_000].decode("utf-8", "replace")):
        return HFModelLoadingError
    return HFRequestError if 400 <= status <= 499 else HFServerError


def _is_blind(said: str) -> bool:
    """A model without eyes says so."""
    return _UNSUPPORTED.search(said) is not None and _PICTURES.search(said) is not None


def _forbidden(said: str) -> type[HFAPIError]:
    if _NO_PERMISSION.search(said):
        return HFPermissionError
    if _GATED.search(said) and not is_html(said):
        return HFGatedModelError
    return HFAuthenticationError if _TOKEN.search(said) else HFBlockedError


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """HTML, or XML as storage services send it, by its type or its first character; Cloudflare's short form."""
    start = body[:1_000].decode("utf-8-sig", "replace").lstrip()
    is_json = start.startswith(("{", "[", '"'))
    is_html_type = "html" in (header(headers, "content-type") or "").lower()
    return start.startswith("<") or (is_html_type and not is_json) or _PLAIN_PAGE.fullmatch(start) is not None


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
