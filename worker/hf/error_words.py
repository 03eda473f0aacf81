"""What a server says went wrong: its words for people, its codes for programs, the objects that hold them. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from worker.hf.errors import clip
from worker.hf.json_text import parse_json

#: Where servers put their words, best first.
_WORD_FIELDS = (
    "error", "message", "msg", "detail", "error_description", "errors", "error_message", "error_msg", "base_resp",
    "status_msg", "title", "reason",
)  # fmt: skip

#: Where they put codes, spelled in any way.
_CODE_FIELDS = ("code", "type", "errortype", "errorcode", "status", "statuscode", "httpstatus", "reason", "quotaid")

#: What in an error is another one that it passes on: the codes of that count as its own.
_WRAPPERS = (
    "error", "errors", "message", "detail", "metadata", "raw", "body", "response", "cause", "innererror", "base_resp",
)  # fmt: skip

#: What in an error holds more of it, or of what it is about.
_HOLDERS = (*_WRAPPERS, "details", "headers", "parameters", "violations")

#: What servers write where there is no error.
_NOTHING = ("", "0", "0.0", "200", "false", "no", "no error", "none", "null", "n/a", "ok", "success")

#: How often a value inside a value is opened: object in string in object is the worst one seen.
_MAX_OPENED = 6

#: Levels, and objects of one level, that are looked through.
_MAX_LEVELS, _MAX_PARTS = 12, 20

#: Entries of a list that are quoted.
_MAX_QUOTED = 5

#: Characters of a page in which title and text are looked for.
_SEARCHED_CHARS = 20_000

_HTML = re.compile(r"\A\s*(?:<!doctype html|<html|<head|<body|<h1|<title)", re.I)
_HTML_TITLE = re.compile(r"<(title|h1)[^>]{0,200}>([^<]{1,500})", re.I)
_HTML_TAG = re.compile(r"<[^<>]{0,500}>")
_QUOTED_CODE = re.compile(r"\b[A-Za-z]+(?:_[A-Za-z]+)+\b")
_ONE_WORD = re.compile(r"[\w.-]+")
_BETWEEN = re.compile(r"[^a-z0-9]+")


def letters(word: Any) -> str:
    """As words of servers are compared: `Content-Filter`, `content_filter` and `contentFilter` are one."""
    return _BETWEEN.sub("", str(word)[:200].lower())


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
        inner = _opened(value)
        return value if inner is value else words(inner, opened + 1) or value
    if isinstance(value, list):
        return "; ".join(filter(None, (words(entry, opened + 1) for entry in value[:_MAX_QUOTED])))
    if isinstance(value, dict):
        lower = {name.lower(): one for name, one in value.items()}
        found = (words(lower[field], opened + 1) for field in _WORD_FIELDS if lower.get(field))
        metadata = value.get("metadata")  # the router's own words say less than those of the provider behind it
        raw = words(metadata.get("raw"), opened + 1) if isinstance(metadata, dict) else ""
        return "; ".join(filter(None, (next(filter(None, found), ""), raw)))
    return ""


def tells(value: Any) -> bool:
    """Whether anything stands in it: `{"message": null, "code": 0}` is no error."""
    if isinstance(value, dict | list):
        return any(tells(one) for one in (value.values() if isinstance(value, dict) else value))
    return str(value).strip().lower() not in _NOTHING


def parts(value: Any) -> list[dict[str, Any]]:
    """The objects that an error consists of, the outermost first; JSON in strings is opened."""
    found: list[dict[str, Any]] = []
    level = [value]
    for _ in range(_MAX_LEVELS):
        level = [_opened(one) for one in level[:_MAX_PARTS]]
        found += (one for one in level if isinstance(one, dict))
        level = [inner for one in level for inner in _inner(one)]
    return found


def error_codes(value: Any, said: str) -> list[str]:
    """The machine-readable codes of an error itself, by their letters; also where they are all that it says.

    Not those of details, which may be about the question: a picture that a provider could not fetch has a 404 too.
    """
    told: list[Any] = [said] if _ONE_WORD.fullmatch(said) else []
    level = [value[0] if isinstance(value, list) and value else value]
    for _ in range(_MAX_LEVELS):
        objects = [one for one in map(_opened, level[:_MAX_PARTS]) if isinstance(one, dict)]
        told += [one for part in objects for name, one in part.items() if letters(name) in _CODE_FIELDS]
        told += [reason for part in objects for reason in _reasons(part.get("details"))]
        level = [inner for part in objects for inner in _wrapped(part)]
    return [letters(one) for one in told if isinstance(one, str | int) and letters(one)]


def quoted_codes(said: str) -> list[str]:
    """What in an error's words is spelled as codes are, by its letters."""
    return [letters(one) for one in _QUOTED_CODE.findall(said)]


def _wrapped(error: dict[str, Any]) -> list[Any]:
    """The errors that this one passes on; of a list the first."""
    found = [one for name, one in error.items() if name.lower() in _WRAPPERS]
    return [one[0] if isinstance(one, list) and one else one for one in found]


def _reasons(details: Any) -> list[Any]:
    """Google's codes, which stand in an error's details."""
    entries = [one for one in details[:_MAX_QUOTED] if isinstance(one, dict)] if isinstance(details, list) else []
    inner = [reason for one in entries for reason in _reasons(one.get("violations"))]
    return [one[name] for one in entries for name in ("reason", "quotaId") if name in one] + inner


def is_html(text: str) -> bool:
    return _HTML.match(text) is not None


def _opened(value: Any) -> Any:
    """Providers behind the router pass their JSON on as a string."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return parse_json(value)
        except ValueError:
            pass
    return value


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for name, one in value.items() if name.lower() in _HOLDERS]
    return value[:_MAX_QUOTED] if isinstance(value, list) else []


def _from_page(page: str) -> str:
    from html import unescape  # its table of names takes half a megabyte, which a worker seldom needs

    title = _HTML_TITLE.search(page)
    rest = _HTML_TAG.sub(" ", page[title.end() :] if title else page)
    return "; ".join(filter(None, (unescape(part).strip() for part in (title[2] if title else "", rest))))
