"""A requests file: lines of the OpenAI Batch API in, rows of a batch out, one at a time: memory stays flat."""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any

from jobs.charts.folder_walk import REQUESTS_SUFFIXES
from jobs.charts.links import chart_of
from jobs.core.errors import InputError, StoreError
from jobs.core.job import Question
from jobs.ledger import Batch, NewMember
from jobs.submit.batch_line import ChatRequest, RequestError, parse_request, shown
from jobs.submit.question import PictureLimits
from jobs.submit.source import Rejected, Rows, hex_paths, printable, row_of

#: Bytes of the longest line: a picture of 48 MB as a data URI.
MAX_LINE_BYTES = 64_000_000

_BLOCK_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class BatchFile:
    """A file of the OpenAI Batch API's lines that was looked at: every line has a question of its own."""

    path: Path
    #: Of the whole file: the same file is found to be the same order.
    sha256: str
    #: Asked instead of the lines' own models.
    model: str | None
    question: Question
    chart_root: Path | None = None
    #: Of the pictures that we send.
    limits: PictureLimits | None = None
    #: A batch file is asked as it stands.
    sample: None = None
    grows: bool = False

    @property
    def labels(self) -> Sequence[str]:
        return [printable(self.path)]

    @property
    def identity(self) -> Sequence[Any]:
        return [hex_paths([self.path]), self.question.id, True, self.sha256]

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        """One line after another: a line may be large, and what it takes is mostly done within Python's lock."""
        return Rows(items=self._rows())

    def _rows(self) -> Iterator[NewMember | Rejected]:
        """The requests as rows, in order, each with its pictures read and checked. Raises InputError."""
        with closing(CustomIds()) as names:
            for number, line in lines(self.path):
                try:
                    request = parsed_line(line, self.model, self.limits)
                    check_model(request, self.question)
                    if not names.add(request.custom_id):
                        raise InputError(
                            f"custom_id {shown(request.custom_id)} stands on an earlier line: give it another"
                        )
                    folder, root = self.path.parent, self.chart_root
                    charts = [chart_of(url, folder=folder, chart_root=root) for url in request.image_urls]
                    yield row_of(charts, request.question, position=number, custom_id=request.custom_id)
                except InputError as error:
                    yield Rejected(path=f"{printable(self.path)}:{number}", error=str(error))


def is_batch_file(path: Path) -> bool:
    return path.suffix.lower() in REQUESTS_SUFFIXES and not os.path.isdir(path)


def look_at(
    path: Path,
    *,
    model: str | None = None,
    chart_root: Path | None = None,
    limits: PictureLimits | None = None,
) -> BatchFile:
    """Read the file once, to know it again, and as far as its first request. Raises InputError."""
    return BatchFile(
        path=path,
        sha256=_digest(path),
        model=model,
        question=first_question(lines(path), model, limits),
        chart_root=chart_root,
        limits=limits,
    )


def lines(path: Path, *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file, see `lines_of`."""
    with _opened(path) as file:
        yield from lines_of(file, max_bytes=max_bytes)


def lines_of(file: "BufferedReader[Any]", *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, with their numbers, from 1; None for one of more than `max_bytes`."""
    for number in count(1):
        line = file.readline(max_bytes + 1)
        if not line:
            return
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > max_bytes:
            _skip_rest(file, line)
            yield number, None
        elif not line.isspace():
            yield number, line


def _skip_rest(file: "BufferedReader[Any]", line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(_BLOCK_BYTES)


def parsed_line(line: bytes | None, model: str | None, limits: PictureLimits | None) -> ChatRequest:
    """The request in a line, None for one that is too long; `model` is asked instead of its own. Raises InputError."""
    if line is None:
        raise InputError(f"the line is longer than {MAX_LINE_BYTES:,} bytes: save the picture as a file")
    return parse_request(line, model=model, limits=limits)


def check_model(request: ChatRequest, first: Question) -> None:
    """Raises RequestError: it asks another model than the first request."""
    if request.question.model != first.model:
        raise RequestError(
            f"it asks {request.question.model!r}, the first request {first.model!r}: a batch has one model; "
            "give each model a file of its own, or one model to all with -m",
            code="mismatched_model",
            param="body.model",
        )


def _digest(path: Path) -> str:
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_question(
    numbered: Iterable[tuple[int, bytes | None]], model: str | None, limits: PictureLimits | None
) -> Question:
    """Of the first line that is a request; its model is the batch's. Without such a line nothing is ever asked."""
    for _number, line in numbered:
        try:
            return parsed_line(line, model, limits).question
        except InputError:
            continue  # submit will say so
    return Question(prompt="", model=model or "")


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{str(path)!r} is a pipe, socket or device; it is read twice: save it as a file")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"the requests file {str(path)!r} can't be read: {error.strerror or error}") from error


class CustomIds:
    """The custom ids so far: in a temporary database, on disk once there are many, gone at the end."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN;"
        )

    def add(self, name: str) -> bool:
        """Whether it is new. Raises StoreError: no room for temporary files."""
        try:
            return self._database.execute("INSERT OR IGNORE INTO names VALUES (?)", (name,)).rowcount == 1
        except sqlite3.Error as error:
            raise StoreError(
                f"the custom ids' temporary file can't be written ({error}): point SQLITE_TMPDIR to a disk with room"
            ) from error

    def close(self) -> None:
        self._database.close()
