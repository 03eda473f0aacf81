"""Image files and folders of them as rows of a batch: walked as a stream, read and checked in parallel."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from jobs.charts.folder_walk import Found, walk
from jobs.charts.image_check import check_image, read_bounded
from jobs.charts.sample import choose
from jobs.charts.storage import stored_path
from jobs.core.errors import InputError
from jobs.core.job import Question, job_id
from jobs.ledger import Batch, NewMember
from jobs.submit.source import Rejected, Rows, hex_paths, printable

T = TypeVar("T")
R = TypeVar("R")

#: Files read at a time: hashing and check sums run outside Python's lock, so a few more than cores pay off.
_READERS = min(8, 2 * (os.cpu_count() or 1))

#: Bytes of a row's name. PostgreSQL's index of names takes entries of 2,704 bytes with all that belongs to them.
_LONGEST_NAME = 2600

#: Files handed to the readers ahead of the one that is waited for.
_AHEAD = 8 * _READERS


@dataclass(frozen=True, kw_only=True)
class ChartFiles:
    """The PATHs of a submit: files and folders, one question about each chart."""

    paths: Sequence[Path]
    question: Question
    recursive: bool = True
    chart_root: Path | None = None
    #: So many charts only, spread over the walk; the rest can follow into the same batch.
    sample: int | None = None
    grows: bool = False

    @property
    def labels(self) -> Sequence[str]:
        return [printable(path) for path in self.paths]

    @property
    def identity(self) -> Sequence[Any]:
        return [hex_paths(self.paths), self.question.id, self.recursive]

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        """For a sample the folders are walked twice: to count, and to read."""
        files = partial(walk, self.paths, recursive=self.recursive)
        if self.sample is None:
            return Rows(items=self._rows(enumerate(files())))
        sample = choose((printable(file.custom_id) for file in files()), self.sample, already=already)
        chosen = (numbered for numbered in enumerate(files()) if numbered[0] in sample.positions)
        sample_of = sample.found if len(sample.positions) < sample.found else None
        return Rows(items=self._rows(chosen), sample_of=sample_of)

    def _rows(self, files: Iterable[tuple[int, Found]]) -> Iterator[NewMember | Rejected]:
        with ThreadPoolExecutor(_READERS, thread_name_prefix="reader") as pool:
            question_id = self.question.id
            examine = partial(_examine, chart_root=self.chart_root)
            for (position, found), chart in in_order(pool, examine, files):
                if isinstance(chart, _Chart):
                    yield NewMember(
                        position=position,
                        custom_id=printable(found.custom_id),
                        job_id=job_id(chart.sha256, question_id),
                        image_sha256=chart.sha256,
                        image=chart.stored,
                        longest_side=chart.longest_side,
                    )
                else:
                    yield Rejected(path=printable(found.path), error=chart)


@dataclass(frozen=True, kw_only=True)
class _Chart:
    """An image file that can be asked about."""

    sha256: str
    #: Its path as the ledger has it.
    stored: str
    #: Pixels.
    longest_side: int


def in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """`work` on each item in the pool's threads, results in the items' order, a bounded number ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) >= _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for item, future in waiting:
        yield item, future.result()


def _examine(numbered: tuple[int, Found], chart_root: Path | None) -> _Chart | str:
    """The chart in a file, or why it can't be asked about: as text, since an error's traceback holds the bytes."""
    _, found = numbered
    if found.error is not None:
        return found.error
    if len(printable(found.custom_id).encode()) > _LONGEST_NAME:
        return f"its path is longer than {_LONGEST_NAME:,} bytes: move it up, or submit the folder that holds it"
    try:
        stored = stored_path(found.path, chart_root)  # first: what lies outside is not even opened
        data = read_bounded(found.path)
        header = check_image(data)
        side = max(header.width, header.height)
        return _Chart(sha256=hashlib.sha256(data).hexdigest(), stored=stored, longest_side=side)
    except InputError as error:
        return str(error)
