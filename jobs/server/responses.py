"""Answers: the documents of the commands as JSON, and results as a stream in any format."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import TextIOBase
from typing import Any, TextIO, cast

from starlette.responses import JSONResponse

from jobs.core.text import dumps

#: Characters that go to the client at a time, and how many such pieces are written ahead of it.
_PIECE_CHARS, _PIECES_AHEAD = 65_536, 4


class Document(JSONResponse):
    """A document of the commands, in their spelling."""

    def render(self, content: Any) -> bytes:
        return dumps(content).encode()


def streamed(write: Callable[[TextIO], object]) -> Iterator[bytes]:
    """What `write` writes, as it writes it, a bounded piece ahead. Errors of `write` come out of the iterator."""
    pipe = _Pipe()
    thread = threading.Thread(target=pipe.fill, args=(write,), name="results", daemon=True)
    thread.start()
    try:
        while (piece := pipe.pieces.get()) is not None:
            yield piece
        thread.join()
        if pipe.error is not None:
            raise pipe.error
    finally:
        pipe.reader_left()


class _Pipe(TextIOBase):
    """A text file whose other end is read in pieces."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | None] = queue.Queue(_PIECES_AHEAD)
        self.error: Exception | None = None
        self._kept: list[str] = []
        self._chars = 0
        self._left = threading.Event()

    def fill(self, write: Callable[[TextIO], object]) -> None:
        """In a thread of its own."""
        try:
            write(cast(TextIO, self))
            self.flush()
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 (it is the reader's, who raises it again)
            self.error = error
        with suppress(BrokenPipeError):
            self._put(None)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._kept.append(text)
        self._chars += len(text)
        if self._chars >= _PIECE_CHARS:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self._kept:
            piece = "".join(self._kept).encode("utf-8", "backslashreplace")
            self._kept, self._chars = [], 0
            self._put(piece)

    def reader_left(self) -> None:
        """Whoever waits to write need not wait any more."""
        self._left.set()

    def _put(self, piece: bytes | None) -> None:
        while not self._left.is_set():
            with suppress(queue.Full):
                self.pieces.put(piece, timeout=0.5)
                return
        raise BrokenPipeError
