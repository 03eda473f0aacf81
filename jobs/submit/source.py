"""Where the rows of a batch come from: a folder, a batch file, answers of another batch. One interface for all."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jobs.core.job import Question, job_id, subject_of
from jobs.core.places import join_pictures
from jobs.ledger import Batch, NewMember

if TYPE_CHECKING:
    from jobs.charts.links import LinkedChart  # brings the library of images


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """What can't be asked about, and why."""

    path: str
    error: str

    def to_json(self) -> dict[str, str]:
        return {"path": self.path, "error": self.error}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A source's rows, in order, read as they are taken."""

    items: Iterator[NewMember | Rejected]
    #: How many there are in all, if these are a sample of them.
    sample_of: int | None = None


class Source(Protocol):
    """What `submit` knows of where rows come from."""

    @property
    def question(self) -> Question:
        """The batch's: what is asked about every row, or, where each row brings its own, what the first one asks."""

    @property
    def labels(self) -> Sequence[str]:
        """What the batch remembers as its sources, for people."""

    @property
    def identity(self) -> Sequence[Any]:
        """JSON values that are the same for the same source: an unfinished batch of it is found by them."""

    @property
    def sample(self) -> int | None:
        """How many rows are wanted, spread over all; None: all of them."""

    @property
    def grows(self) -> bool:
        """Whether rows come to it with time: each submit adds what is new, always to the same batch."""

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        """All rows, or, if it grows, those that `batch` lacks. `already`: the custom ids that a sample's batch has.

        Raises InputError.
        """


def row_of(charts: "Sequence[LinkedChart]", question: Question, *, position: int, custom_id: str) -> NewMember:
    """A row with a question of its own about these charts, one or several, or none."""
    subject = subject_of([chart.sha256 for chart in charts])
    return NewMember(
        position=position,
        custom_id=custom_id,
        job_id=job_id(subject, question.id),
        image_sha256=subject,
        image=join_pictures([chart.stored for chart in charts]),
        question=question,
        pictures={chart.sha256: chart.picture for chart in charts if chart.picture is not None},
        longest_side=max((chart.longest_side for chart in charts), default=0),
    )


def printable(path: Path | str) -> str:
    """A path for people and JSON: bytes that are not UTF-8 are shown escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def hex_paths(paths: Sequence[Path]) -> list[str]:
    """Paths as JSON values that are different for different bytes."""
    return [os.fsencode(path.absolute()).hex() for path in paths]
