"""A batch file that was uploaded: checked whole before anything is asked, as OpenAI does, then rows of a batch."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.charts.links import LinkedChart, chart_from_elsewhere, is_data_uri, is_https, path_below, raw_picture
from jobs.charts.storage import stored_path
from jobs.core.errors import ImageError, InputError
from jobs.core.job import Question
from jobs.core.places import picture_name
from jobs.ledger import Batch, NewMember
from jobs.submit.batch_file import CustomIds, check_model, first_question, lines_of, parsed_line
from jobs.submit.batch_line import RequestError, shown
from jobs.submit.question import PictureLimits
from jobs.submit.source import Rejected, Rows, row_of

#: Requests of one file, as OpenAI has it.
MAX_REQUESTS = 50_000

#: Errors that are told.
_ERRORS_TOLD = 100

#: The bytes of a stored file from an offset on, some of them; b"" at its end.
ReadParts = Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class UploadedBatch:
    """The lines of a stored file. Its pictures are no reason to refuse it: what is none fails its own request."""

    file_id: str
    parts: ReadParts = field(repr=False)
    question: Question
    chart_root: Path | None
    limits: PictureLimits
    sample: None = None
    grows: bool = False

    @property
    def labels(self) -> Sequence[str]:
        return [self.file_id]

    @property
    def identity(self) -> Sequence[Any]:
        return [["upload", self.file_id], self.question.id, True]

    def errors(self) -> Sequence[Mapping[str, Any]]:
        """What is wrong with it, the first hundred, as OpenAI tells it: `{"code", "line", "message", "param"}`."""
        return list(islice(self._errors(), _ERRORS_TOLD))

    def rows(self, already: Collection[str], batch: Batch | None = None) -> Rows:
        """For a file without errors."""
        return Rows(items=self._rows())

    def _errors(self) -> Iterator[Mapping[str, Any]]:
        number = requests = 0
        with closing(CustomIds()) as names, _opened(self.parts) as file:
            for number, line in lines_of(file):
                requests += 1
                if requests > MAX_REQUESTS:
                    yield _error(number, f"the file has more than {MAX_REQUESTS:,} requests", "too_many_requests")
                    return
                try:
                    request = parsed_line(line, None, self.limits)
                    check_model(request, self.question)
                    if not names.add(request.custom_id):
                        message = f"custom_id {shown(request.custom_id)} stands on an earlier line"
                        raise RequestError(message, code="duplicate_custom_id", param="custom_id")
                    for url in request.image_urls:
                        _check_place(url, self.chart_root)
                except RequestError as error:
                    yield _error(number, str(error), error.code, error.param)
                except InputError as error:
                    yield _error(number, str(error), "invalid_request")
        if not requests:
            yield _error(None, "the file has no requests", "empty_file")

    def _rows(self) -> Iterator[NewMember | Rejected]:
        with _opened(self.parts) as file:
            for number, line in lines_of(file):
                request = parsed_line(line, None, self.limits)
                charts = [_chart(url, self.chart_root) for url in request.image_urls]
                yield row_of(charts, request.question, position=number, custom_id=request.custom_id)


def question_of(parts: ReadParts, limits: PictureLimits) -> Question:
    """What the first request asks."""
    with _opened(parts) as file:
        return first_question(lines_of(file), None, limits)


def _opened(parts: ReadParts) -> BufferedReader:
    return BufferedReader(_StoredFile(parts), buffer_size=1_000_000)


def _chart(url: str, chart_root: Path | None) -> LinkedChart:
    """The chart; what is none, or isn't there, in its place, so that its request fails, uncalled, with the reason."""
    try:
        return chart_from_elsewhere(url, chart_root)
    except ImageError:
        if is_data_uri(url):
            picture = raw_picture(url)
            sha256 = hashlib.sha256(picture).hexdigest()
            return LinkedChart(sha256=sha256, stored=picture_name(sha256), picture=picture)
        sha256 = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        return LinkedChart(sha256=sha256, stored=stored_path(path_below(chart_root, url), chart_root))


def _check_place(url: str, chart_root: Path | None) -> None:
    """Raises RequestError: that is no picture which may be read."""
    if is_data_uri(url):
        return
    try:
        if is_https(url):
            chart_from_elsewhere(url, chart_root)
        else:
            path_below(chart_root, url)
    except InputError as error:
        raise RequestError(str(error), code="invalid_image_url", param="body.messages") from None


def _error(line: int | None, message: str, code: str, param: str | None = None) -> Mapping[str, Any]:
    return {"code": code, "line": line, "message": message, "param": param}


class _StoredFile(RawIOBase):
    """The parts as one file."""

    def __init__(self, parts: ReadParts) -> None:
        self._parts, self._offset, self._rest = parts, 0, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._parts(self._offset))
            self._offset += len(self._rest)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
