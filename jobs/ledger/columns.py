"""Column types that take whatever text files, people and servers come up with.

PostgreSQL refuses NUL in text, and neither database stores lone surrogates (Python's way of carrying bytes
of a file name that are not UTF-8). One such answer must not fail the transaction of its neighbours.
"""

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

#: Bytes 0x80..0xFF of undecodable file names, as Python spells them, and as we store them (private use area).
_TO_STORE = {0xDC00 + byte: 0x10DC00 + byte for byte in range(0x80, 0x100)}
_FROM_STORE = {stored: escaped for escaped, stored in _TO_STORE.items()}


def clean(text: str) -> str:
    """The nearest text that every database stores: NUL becomes U+FFFD, lone surrogates become `\\udc80`."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class CleanText(TypeDecorator[str]):
    """Text for reading; what can't be stored is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean(value)


class PathText(TypeDecorator[str]):
    """A file's path, which comes back as it went in, bytes that are not UTF-8 included."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or value.isascii():
            return value
        return clean(value.translate(_TO_STORE))

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None or value.isascii() else value.translate(_FROM_STORE)
