"""JSON from a server that nobody vouches for: any bytes give a plain value or a ValueError."""

import contextlib
import json
import math
import re
from typing import Any

#: Deepest nesting that is taken: a chat reply has 6 levels; re-encoding a deep one would exhaust the stack.
MAX_DEPTH = 64

#: Most digits of an integer that is kept as one; longer ones fit no column and no other language.
_MAX_INT_DIGITS = 30

#: Most objects of a stream that are read: of 8 MB they have 160 bytes each, fewer than events have.
_MAX_DOCUMENTS = 50_000

#: Encodings beside Unicode's in which a server may write, and say so.
_CHARSET = re.compile(r"charset=[\"']?((?:iso-8859-|windows-|gb|big5|shift_jis|euc-)[\w-]{0,12})", re.I)


def parse_json(text: bytes | str) -> Any:
    """The value in `text`. NaN and infinities become None: no JSON elsewhere can hold them.

    Raises ValueError for whatever is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(text, parse_constant=_nothing, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _may_be_deep(text) and _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return value


def parsed(text: bytes | str) -> Any:
    """The value in `text`, None if it is no JSON."""
    with contextlib.suppress(ValueError):
        return parse_json(text)
    return None


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in `text` one after the other, whatever is between them; up to the first broken one.

    So comes a stream, of events or of lines.
    """
    decoder = json.JSONDecoder(parse_constant=_nothing, parse_float=_finite, parse_int=_integer)
    found: list[dict[str, Any]] = []
    position = text.find("{")
    with contextlib.suppress(ValueError, RecursionError):
        while position >= 0 and len(found) < _MAX_DOCUMENTS:
            value, end = decoder.raw_decode(text, position)
            if _depth(value) > MAX_DEPTH:
                break
            found.append(value)
            position = text.find("{", end)
    return found


def decoded(body: bytes, content_type: str = "") -> str:
    """The text of a body: in the encoding that JSON's readers guess, or in the one that is told, or with marks for
    what is in neither."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        told = _CHARSET.search(content_type)
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            return body.decode(told[1] if told else "utf-8")
    return body.decode("utf-8", "replace")


def storable(text: str) -> str:
    """`text` without lone surrogates and NUL, which no UTF-8 file and no PostgreSQL column takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def as_object(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _nothing(_name: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else _finite(digits)


def _may_be_deep(text: bytes | str) -> bool:
    """A cheap upper bound, so that ordinary replies are not walked."""
    if isinstance(text, bytes):
        return text.count(b"[") + text.count(b"{") > MAX_DEPTH
    return text.count("[") + text.count("{") > MAX_DEPTH


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in (as_object(node).values() or as_list(node))]
    return depth
