"""Text from anybody (a server, a model, a file's name): as a line of JSON, or for people to look at."""

import json
import re
from typing import Any

#: Characters that turn or hide what is read: marks and overrides of direction (UAX 9), separators of lines.
UNSEEN = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"

#: What a terminal would obey instead of showing; line feeds and tabs may stay.
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{UNSEEN}]")

#: What breaks a line or jumps to a column.
_BREAKS = re.compile(r"[\n\t]")

#: What JSON may hold as it is and yet breaks lines or acts where it is read: DEL, C1 (also NEL), the unseen ones.
_RAW = re.compile(f"[\x7f-\x9f{UNSEEN}]")

#: Characters that people are shown of a name (as many as a model's id may have), and of a message.
LABEL_CHARS, MESSAGE_CHARS = 300, 1000

#: Lines and characters that are shown of a text among others.
_MOST_LINES, _MOST_CHARS = 40, 4000

#: The beginning of an object with a space behind its first colon.
_SPACED = re.compile(r'\{"[^"\\]*": ')
#: `json.dumps` would make an encoder for each.
_spelled = json.JSONEncoder(ensure_ascii=False).encode


def counted(number: int, noun: str, nouns: str = "") -> str:
    """`1 chart`, `2,000 charts`. `nouns`: where more of them are called otherwise."""
    return f"1 {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def strict_json(text: str | bytes) -> Any:
    """The value of JSON. Raises ValueError, also for NaN and Infinity, which Python alone reads, and RecursionError."""
    return json.loads(text, parse_constant=_no_constant)


def dumps(document: Any) -> str:
    """One line of JSON, the values as they are; what can't be encoded, breaks lines or acts unseen is escaped."""
    return one_line_json(_spelled(document))


def one_line_json(text: str) -> str:
    """JSON in which what can't be encoded, breaks lines or acts unseen is escaped."""
    if text.isascii() and "\x7f" not in text:
        return text
    return encodable(_RAW.sub(_escaped, text))


def as_dumped(stored: str) -> str:
    """JSON of the store as `json.dumps` spells it: as it stands, unless an older version wrote it, without spaces."""
    return stored if _SPACED.match(stored) else _spelled(json.loads(stored))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _escaped(match: "re.Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"


def visible(text: str) -> str:
    """`text` with control characters, of a file's name or of an answer, spelled out."""
    return _CONTROLS.sub(_spelled_out, text)


def _spelled_out(match: "re.Match[str]") -> str:
    return match[0].encode("unicode_escape").decode()


def one_line(text: str, most_chars: int | None = None) -> str:
    """Whatever a server, a prompt or a file's name holds, as a line that does nothing to a terminal."""
    line = " ".join(text.split())
    return visible(line) if most_chars is None else _clipped(visible(line[: most_chars + 1]), most_chars)


def label(text: str, most_chars: int = LABEL_CHARS) -> str:
    """A name or an id from anybody, as a line: what breaks lines is spelled out and not made a space, to be found."""
    return _clipped(_BREAKS.sub(_spelled_out, visible(text[: most_chars + 1])), most_chars)


def beginning(text: str, rest: str = "") -> str:
    """As much of a text as is laid out among others: what draws tables takes hours for a megabyte of line feeds.

    `rest`: how to see all of it, said where it is cut.
    """
    lines = visible(text[: _MOST_CHARS + 1]).split("\n", _MOST_LINES)
    start = "\n".join(lines[:_MOST_LINES])
    if len(lines) <= _MOST_LINES and len(start) <= _MOST_CHARS:
        return start
    return start[:_MOST_CHARS] + "…" + rest


def _clipped(line: str, most_chars: int) -> str:
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"


def encodable(text: str) -> str:
    """The text as it is, except that what UTF-8 has no bytes for (bytes of odd file names) is shown escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
