"""Text that every store keeps, whatever files, people and servers come up with.

PostgreSQL refuses NUL in text, and neither database stores lone surrogates (Python's way of carrying bytes
of a file name that are not UTF-8). One such answer must not fail the transaction of its neighbours.
"""

from jobs.core.text import encodable

#: Bytes 0x80..0xFF of undecodable file names, as Python spells them, and as we store them (private use area).
_TO_STORE = {0xDC00 + byte: 0x10DC00 + byte for byte in range(0x80, 0x100)}
_FROM_STORE = {stored: escaped for escaped, stored in _TO_STORE.items()}


def clean(text: str) -> str:
    """The nearest text that every database stores: NUL becomes U+FFFD, lone surrogates become `\\udc80`."""
    return encodable(text.replace("\x00", "\ufffd"))


def path_to_store(path: str) -> str:
    """A file's path, of any bytes, as text that comes back by `path_from_store`."""
    return path if path.isascii() else path.translate(_TO_STORE)


def path_from_store(stored: str) -> str:
    """The path, byte for byte."""
    return stored if stored.isascii() else stored.translate(_FROM_STORE)
