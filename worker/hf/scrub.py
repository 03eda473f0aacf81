"""A secret that a server echoes is blotted out, in whatever encoding of JSON, HTML, URLs or base64 it came. Pure.

Texts are decoded again and again, as whoever reads them may do, and each stage is searched; what is found is cut out of
the original, so that the rest of it stays as it was.
"""

import base64
import json
import re
from collections.abc import Iterator

#: Shortest secret that is looked for: shorter ones, as in tests, might be part of any word.
MIN_CHARS = 6

BLOT = "***"

#: JSON in JSON in JSON, percent signs of percent signs: nobody decodes more often than this.
_MOST_STAGES = 6

#: HTML's readers take zeros before a number, and numbers and the oldest names without their semicolon. Each way begins
#: with one plain character: by these `re` skips what can't match, twice as fast.
_ESCAPE = re.compile(
    r"""\\u(?P<json>[0-9a-fA-F]{4})
    |%u(?P<old>[0-9a-fA-F]{4})
    |\\u\{0*(?P<braced>[0-9a-fA-F]{1,6})\}
    |\\U(?P<long>[0-9a-fA-F]{8})
    |\\x(?P<byte>[0-9a-fA-F]{2})
    |\\(?P<char>[\\/"'])
    |%(?P<percent>[0-9a-fA-F]{2})
    |&\#0*(?P<decimal>[0-9]{1,7});?
    |&\#[xX]0*(?P<hexadecimal>[0-9a-fA-F]{1,6});?
    |&(?P<name>[A-Za-z]{2,24});
    |&(?P<bare>amp|lt|gt|quot)
    """,
    re.VERBOSE | re.DOTALL,
)

#: Without one of these there is nothing to decode.
_MARKS = ("\\", "%", "&")

_BASE64_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")

#: Characters beside the part of a secret's base64 that is sure, which hold the rest of it and what stood around it.
_BASE64_EDGE = 4


class Scrubber:
    """Takes `secrets` out of texts, bytes and whole JSON values. `repr` shows none of them."""

    def __init__(self, *secrets: str | None) -> None:
        wanted = {secret for secret in secrets if secret and len(secret) >= MIN_CHARS}
        #: The secrets, and what becomes of them when they are decoded themselves (`%` may be part of one).
        plain = {stage for secret in wanted for stage in _stages(secret) if len(stage) >= MIN_CHARS}
        plain |= {digits for secret in wanted for digits in _hexadecimal(secret)}
        # `+` is a space in a form.
        self._needles = sorted(
            plain | {one.replace("+", " ") for one in plain if one.strip("+")}, key=len, reverse=True
        )
        self._encoded = sorted({one for secret in wanted for one in _base64_of(secret)}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Scrubber({len(self._needles)} secrets)" if self._needles else "Scrubber()"

    def text(self, text: str) -> str:
        """`text` without the secrets; the very same if there are none in it."""
        if not self._needles or not any(self._found(stage) for stage in _stages(text)):
            return text
        for _ in range(len(text)):
            spans = self._spans(text)
            if not spans:
                break
            text = _cut(text, spans)
        return text

    def body(self, data: bytes) -> bytes:
        """A reply's bytes likewise, in UTF-8 if there was one.

        They are read in the encoding that JSON's reader would guess, and in UTF-8, as what is no JSON is read.
        """
        if not self._needles:
            return data
        guessed = json.detect_encoding(data)
        for encoding in (guessed,) if guessed.startswith("utf-8") else (guessed, "utf-8"):
            text = data.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")
            clean = self.text(text)
            if clean is not text:
                return clean.encode("utf-8", "surrogateescape")
        return data

    def _found(self, text: str) -> bool:
        return any(one in text for one in self._needles) or any(one in text for one in self._encoded)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` secrets stand, by the first stage of decoding that shows any."""
        for stage, starts in _stages_and_places(text):
            found = [*_places(stage, self._needles), *(_widened(stage, span) for span in _places(stage, self._encoded))]
            if found:
                return [(starts[start], starts[end]) for start, end in found]
        return []


def _stages(text: str) -> Iterator[str]:
    """`text`, and what it is decoded to, until nothing is left to decode."""
    yield text
    for _ in range(_MOST_STAGES):
        if not any(mark in text for mark in _MARKS):
            return
        decoded = _ESCAPE.sub(_decoded, text)
        if decoded == text:
            return
        yield (text := decoded)


def _stages_and_places(text: str) -> Iterator[tuple[str, list[int]]]:
    """The same stages, with the place in the original where each character begins, and where the text ends."""
    starts = list(range(len(text) + 1))
    yield text, starts
    for _ in range(_MOST_STAGES):
        pieces: list[str] = []
        moved: list[int] = []
        last = 0
        for match in _ESCAPE.finditer(text):
            decoded = _decoded(match)
            pieces += text[last : match.start()], decoded
            moved += starts[last : match.start()]
            moved += [starts[match.start()]] * len(decoded)
            last = match.end()
        text, starts = "".join(pieces) + text[last:], moved + starts[last:]
        yield text, starts


def _decoded(match: re.Match[str]) -> str:
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind == "char":
        return value
    if kind in ("name", "bare"):
        from html import unescape  # its table takes half a megabyte, which a worker seldom needs

        return unescape(match[0])
    number = int(value, 10 if kind == "decimal" else 16)
    return chr(number) if number <= 0x10FFFF else match[0]


def _places(text: str, needles: list[str]) -> Iterator[tuple[int, int]]:
    for needle in needles:
        start = text.find(needle)
        while start >= 0:
            yield start, start + len(needle)
            start = text.find(needle, start + len(needle))


def _widened(text: str, span: tuple[int, int]) -> tuple[int, int]:
    start, end = span
    while start > max(0, span[0] - _BASE64_EDGE) and text[start - 1] in _BASE64_CHARS:
        start -= 1
    while end < min(len(text), span[1] + _BASE64_EDGE) and text[end] in _BASE64_CHARS:
        end += 1
    return start, end


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with a blot for each of the spans, which may overlap."""
    pieces: list[str] = []
    last = 0
    for start, end in sorted(spans):
        if start >= last:
            pieces += text[last:start], BLOT
        last = max(last, end)
    return "".join(pieces) + text[last:]


def _hexadecimal(secret: str) -> tuple[str, str]:
    digits = secret.encode().hex()
    return digits, digits.upper()


def _base64_of(secret: str) -> Iterator[str]:
    """What base64 makes of the secret wherever it begins in the encoded bytes: the part that only it decides."""
    data = secret.encode()
    for lead in range(3):
        first = -(-lead * 8 // 6)  # characters that hold bits of what stands before
        sure = (lead + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * lead + data).decode()[first:sure]
