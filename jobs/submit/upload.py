"""Pictures that were uploaded as rows of a batch: they stand in the ledger already, under their hashes."""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.core.job import Question, canonical_json, job_id
from jobs.core.places import picture_name
from jobs.ledger import Batch, NewMember
from jobs.submit.source import Rejected, Rows

#: Characters of the longest name that a picture keeps.
_NAME_CHARS = 400

_UNNAMEABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class UploadedPicture:
    """A picture of the ledger, and the name that it came under."""

    custom_id: str
    sha256: str
    #: Pixels.
    longest_side: int


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """The pictures of one upload, one question about each."""

    pictures: Sequence[UploadedPicture | Rejected]
    question: Question
    sample: None = None
    grows: bool = False

    @property
    def labels(self) -> Sequence[str]:
        return [f"{len(self.pictures)} uploaded files"]

    @property
    def identity(self) -> Sequence[Any]:
        names = [[one.custom_id, one.sha256] for one in self.pictures if isinstance(one, UploadedPicture)]
        digest = hashlib.sha256(canonical_json(names).encode()).hexdigest()
        return [["upload", digest], self.question.id, True]

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        return Rows(items=self._rows())

    def _rows(self) -> Iterator[NewMember | Rejected]:
        for position, picture in enumerate(self.pictures):
            if isinstance(picture, Rejected):
                yield picture
                continue
            yield NewMember(
                position=position,
                custom_id=picture.custom_id,
                job_id=job_id(picture.sha256, self.question.id),
                image_sha256=picture.sha256,
                image=picture_name(picture.sha256),
                longest_side=picture.longest_side,
            )


def name_of_upload(filename: str, taken: Collection[str]) -> str:
    r"""The custom id of an uploaded file: its path without what leads elsewhere, another number if it is taken.

    >>> name_of_upload("../..\\etc/chart.png", ["etc/chart.png"])
    'etc/chart~2.png'
    """
    parts = [part for part in re.split(r"[/\\]+", _UNNAMEABLE.sub("\ufffd", filename)) if part.strip(" .")]
    name = "/".join(parts)[-_NAME_CHARS:].lstrip("/") or "picture"
    stem, dot, suffix = name.rpartition(".")
    unique, number = name, 2
    while unique in taken:
        unique = f"{stem}~{number}{dot}{suffix}" if stem else f"{name}~{number}"
        number += 1
    return unique
