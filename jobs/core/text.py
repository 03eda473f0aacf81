"""Text from anybody (a server, a model, a file's name): as a line of JSON, or for people to look at."""

import json
import re
from typing import Any

#: What a terminal would obey instead of showing; line feeds and tabs may stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def dumps(document: Any) -> str:
    """One line of JSON; characters that can't be encoded (odd file names) are escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(", ", ": "))
    return text.encode("utf-8", "backslashreplace").decode()


def visible(text: str) -> str:
    """`text` with control characters, of a file's name or of an answer, spelled out."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str, most_chars: int | None = None) -> str:
    """Whatever a server, a prompt or a file's name holds, as a line that does nothing to a terminal."""
    line = visible(" ".join(text.split()))
    return line if most_chars is None or len(line) <= most_chars else line[: most_chars - 1] + "…"


def encodable(text: str) -> str:
    """The text as it is, except that what UTF-8 has no bytes for (bytes of odd file names) is shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
