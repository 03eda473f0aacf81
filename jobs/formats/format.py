"""What a format is: a name, the endings of its files, and how result documents become one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from jobs.core.errors import InputError
from jobs.core.job import Pictures, Question
from jobs.formats.files import data_file

if TYPE_CHECKING:
    from jobs.batches.session import Session
    from jobs.ledger import Batch

#: A result document, as the contract has it.
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """What a format may want to know beyond the rows."""

    #: The batch's status document. Asked for only by formats that show it: most need no Redis.
    status: Callable[[], Mapping[str, Any]]
    question: Question
    #: Rows tell the answer that they ask about.
    with_source: bool = False
    #: Where relative image paths begin.
    chart_root: Path | None = None
    #: Pictures that have no file.
    pictures: Pictures = lambda _sha256: None
    #: The hash of a job's image.
    image_sha256: Callable[[str], str] = lambda _job_id: ""

    @classmethod
    def of(cls, session: "Session", batch: "Batch", *, with_source: bool = False) -> Self:
        """What there is to know of a batch."""
        return cls(
            with_source=with_source,
            status=lambda: session.document(batch.batch_id),
            question=batch.question,
            chart_root=session.settings.chart_root,
            pictures=session.ledger.picture,
            image_sha256=lambda job_id: session.ledger.job(job_id).image_sha256,
        )


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to write results. Rows are taken one after another and never kept: memory stays flat."""

    name: str
    #: What it is over HTTP.
    media_type: str
    #: Endings of file names that ask for it, lower case with the dot.
    suffixes: tuple[str, ...]
    #: Writes the rows as one stream of text.
    write_text: Callable[[Iterable[Row], TextIO, ReportContext], None] | None = None
    #: Writes them to a file, and tells which it wrote, where a stream won't do: it is binary, or more than one file.
    write_files: Callable[[Iterable[Row], Path, ReportContext], list[Path]] | None = None
    #: Of a batch about answers it shows those too, unasked.
    shows_source: bool = False
    #: It shows the servers' replies; to read them takes most of the time.
    shows_raw: bool = True

    @property
    def suffix(self) -> str:
        """What a file of it is called that nobody has named."""
        return self.suffixes[0] if self.suffixes else ".jsonl"

    def write(self, rows: Iterable[Row], path: Path | None, context: ReportContext) -> list[Path]:
        """Write the rows to `path` (whole or not at all), or to stdout; returns the files written.

        Raises InputError (it needs a file and there is none), InstallationError, OSError.
        """
        if path is not None and str(path) == "-":
            path = None
        if self.write_files is not None:
            if path is None:
                raise InputError(f"{self.name} can't be written to the terminal: add -o results{self.suffix}")
            return self.write_files(rows, path, context)
        assert self.write_text is not None
        with data_file(path) as out:
            self.write_text(rows, out, context)
        return [path] if path else []
