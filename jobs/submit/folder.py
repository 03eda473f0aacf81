"""Image files and folders of them as rows of a batch: walked, read and checked as a stream."""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.charts.folder_walk import Found, walk
from jobs.charts.links import chart_at
from jobs.charts.sample import choose
from jobs.core.errors import InputError
from jobs.core.in_order import in_order
from jobs.core.job import Question, job_id
from jobs.ledger import Batch, NewMember
from jobs.submit.source import Rejected, Rows, hex_paths, printable

#: Files read at a time: hashing and check sums run outside Python's lock, so a few more than cores pay off.
_READERS = min(8, 2 * (os.cpu_count() or 1))

#: Bytes of a row's name. PostgreSQL's index of names takes entries of 2,704 bytes with all that belongs to them.
_LONGEST_NAME = 2600

#: Files handed to the readers ahead of the one that is waited for.
_AHEAD = 8 * _READERS

#: Files that are timed, how many more are then read as they suggest, and from which time on threads pay off.
_TIMED, _MORE, _WORTH_A_THREAD_S = 8, 500, 0.001


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

    def _rows(self, files: Iterator[tuple[int, Found]]) -> Iterator[NewMember | Rejected]:
        """Read in threads where a file takes its time: it is large, or its disk far away.

        Of small files near by threads take a third more processor time, and no less of ours: they hand Python's lock
        to each other several times a file. So a few files are timed, then more are read in the way that suits them.
        """
        examine = partial(_examine, question_id=self.question.id, chart_root=self.chart_root)
        with ThreadPoolExecutor(_READERS, thread_name_prefix="reader") as pool:
            while timed := list(islice(files, _TIMED)):
                took_s = []
                for file in timed:
                    began = time.monotonic()
                    row = examine(file)
                    took_s.append(time.monotonic() - began)
                    yield row
                more = islice(files, _MORE)
                slow = sorted(took_s)[len(took_s) // 2] >= _WORTH_A_THREAD_S
                yield from in_order(pool, examine, more, ahead=_AHEAD) if slow else map(examine, more)


def _examine(numbered: tuple[int, Found], *, question_id: str, chart_root: Path | None) -> NewMember | Rejected:
    """The row of a file; what went wrong as text, since an error's traceback holds the bytes."""
    position, found = numbered
    name, why = printable(found.custom_id), found.error
    if why is None and len(name.encode()) > _LONGEST_NAME:
        why = f"its path is longer than {_LONGEST_NAME:,} bytes: move it up, or submit the folder that holds it"
    if why is None:
        try:
            chart = chart_at(found.path, chart_root)
        except InputError as error:
            why = str(error)
    if why is not None:
        return Rejected(path=printable(found.path), error=why)
    return NewMember(
        position=position,
        custom_id=name,
        job_id=job_id(chart.sha256, question_id),
        image_sha256=chart.sha256,
        image=chart.stored,
        longest_side=chart.longest_side,
    )
