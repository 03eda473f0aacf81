"""`POST /batches`: pictures as a form, or paths under CHART_ROOT as JSON, become an order."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from jobs.charts.image_check import MAX_FILE_BYTES, check_image
from jobs.charts.links import path_below
from jobs.config.settings import Settings
from jobs.core.errors import ImageError, InputError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question
from jobs.ledger import Ledger
from jobs.server.access import Access
from jobs.server.backend import Backend
from jobs.server.errors import ApiError
from jobs.server.json_body import filled, fitting, json_object
from jobs.server.multipart import Fields, files_of
from jobs.submit.folder import ChartFiles
from jobs.submit.question import MAX_SIDE, MIN_SIDE, make_question
from jobs.submit.source import Rejected, Source
from jobs.submit.submit import NAME_CHARS, Order
from jobs.submit.upload import UploadedPicture, Uploads, name_of_upload

#: Files of one upload.
MAX_FILES = 10_000

#: Bytes of pictures that are written to the store at a time.
_WRITTEN_BYTES = 8_000_000


class Asked(BaseModel):
    """What is asked about each chart, and how."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | None = Field(None, description="The question; only `chart` answers' `schema` brings its own.")
    model: str | None = Field(None, description="Default: VISION_MODEL.")
    name: str | None = Field(None, max_length=NAME_CHARS, description="A name for people.")
    parameters: dict[str, Any] = Field({}, description='Sent along, as in `{"max_tokens": 300}`.')
    json_schema: Literal["chart"] | dict[str, Any] | None = Field(
        None, alias="schema", description="Answers are JSON that fits it."
    )
    priority: Literal["high", "normal", "low"] = "normal"
    max_side: int | None = Field(None, ge=MIN_SIDE, le=MAX_SIDE, description="Pixels, instead of IMAGE_MAX_SIDE.")
    refresh: bool = Field(False, description="Ask again, even where there is an answer.")
    max_failures: str | int | None = Field(None, description="So many failures, or `5%`, put the batch on hold.")

    def question(self, settings: Settings) -> Question:
        """Raises ApiError, InputError."""
        is_caption = (settings.hf_api, settings.hf_task) == ("task", "image-to-text")
        if self.json_schema is None and not (self.prompt or "").strip() and not is_caption:
            raise ApiError(400, "the prompt is missing: what is to be asked about each chart?", param="prompt")
        return make_question(
            settings,
            prompt=self.prompt,
            model=self.model,
            parameters=self.parameters,
            schema=self.json_schema,
            max_side=self.max_side,
        )

    def order(self, source: Source, access: Access) -> Order:
        """Raises InputError."""
        limit = self.max_failures
        return Order(
            source=source,
            name=self.name,
            refresh=self.refresh,
            priority=self.priority,
            count_rehearsals=access.session.settings.rehearsal,
            max_failures=None if limit is None else FailureLimit.parse(str(limit)),
            owner=access.owner or None,
        )


class AskedOfPaths(Asked):
    """Files and folders of the server."""

    paths: list[str] = Field(min_length=1, max_length=1000, description="Under CHART_ROOT; relative to it, or whole.")
    recursive: bool = Field(True, description="Enter sub-folders.")
    sample: int | None = Field(None, ge=1, description="So many charts first, spread over all.")


class AskedOfUploads(Asked):
    """Pictures that come with the request. `parameters` and `schema` are JSON texts."""

    files: list[bytes] = Field(description="Pictures, any number.", json_schema_extra={"items": {"format": "binary"}})


class AskedOfHashes(Asked):
    """Pictures that would be uploaded."""

    sha256: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        min_length=1, max_length=MAX_FILES, description="Of each picture's file, in hex."
    )


async def receive_batch(request: Request, access: Access) -> Order:
    """The order in a request. Raises ApiError, InputError, StoreError."""
    settings = access.session.settings
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        return await _receive_uploads(request, access)
    asked = fitting(AskedOfPaths, await json_object(request))
    source = await run_in_threadpool(_chart_files, asked, settings)
    return asked.order(source, access)


async def receive_plan(request: Request, access: Access) -> Order:
    """What would be ordered. Raises ApiError, InputError."""
    asked = fitting(AskedOfHashes, await json_object(request))
    question = await run_in_threadpool(asked.question, access.session.settings)
    pictures = [UploadedPicture(custom_id=one, sha256=one, longest_side=0) for one in asked.sha256]
    return asked.order(Uploads(pictures=pictures, question=question), access)


def _chart_files(asked: AskedOfPaths, settings: Settings) -> ChartFiles:
    return ChartFiles(
        paths=[path_below(settings.chart_root, path) for path in asked.paths],
        question=asked.question(settings),
        recursive=asked.recursive,
        chart_root=settings.chart_root,
        sample=asked.sample,
    )


async def _receive_uploads(request: Request, access: Access) -> Order:
    settings = access.session.settings
    fields = Fields()
    received = PictureReceiver(access.backend, access.session.ledger)
    try:
        names = ("files", "files[]", "file")
        async for filename, data in files_of(request, fields, what="files", names=names, max_files=MAX_FILES):
            if data is not None:
                received.add(data)
            else:
                await run_in_threadpool(received.end, filename)
        await run_in_threadpool(received.write)
    finally:
        received.forget()
    if not received.pictures:
        raise ApiError(400, "there are no files: send each picture as a field `files`", param="files")
    asked = fitting(Asked, _values(fields.texts()))
    question = await run_in_threadpool(asked.question, settings)
    return asked.order(Uploads(pictures=received.pictures, question=question), access)


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    """A form's texts as the values that they stand for."""
    values = filled(Asked, texts)
    for name in ("parameters", "schema"):
        if name in values and values[name] != "chart":
            try:
                values[name] = json.loads(values[name])
            except (ValueError, RecursionError):
                raise ApiError(400, f"{name}: write JSON", param=name) from None
    return values


class PictureReceiver:
    """Pictures as they arrive: one at a time in memory, checked, and written to the store a few at a time."""

    def __init__(self, backend: Backend, ledger: Ledger) -> None:
        self._backend, self._ledger = backend, ledger
        self._now = bytearray()
        self._too_large = False
        self._unwritten: dict[str, bytes] = {}
        self._held = 0
        self._names: set[str] = set()
        self.pictures: list[UploadedPicture | Rejected] = []

    def add(self, data: bytes) -> None:
        """A piece of the picture that is arriving. Raises ApiError."""
        if len(self._now) + len(data) > MAX_FILE_BYTES:
            self._too_large = True
            return
        self._backend.hold_in_memory(len(data))
        self._held += len(data)
        self._now += data

    def end(self, filename: str) -> None:
        """The picture is whole. Raises StoreError."""
        picture, self._now = bytes(self._now), bytearray()
        name = name_of_upload(filename, self._names)
        try:
            if self._too_large:
                raise ImageError(f"it is larger than {MAX_FILE_BYTES:,} bytes: save the chart at a smaller size")
            header = check_image(picture)
        except InputError as error:
            self.pictures.append(Rejected(path=name, error=str(error)))
            self._release(len(picture))
        else:
            sha256 = hashlib.sha256(picture).hexdigest()
            if sha256 in self._unwritten:
                self._release(len(picture))
            self._unwritten[sha256] = picture
            self._names.add(name)
            self.pictures.append(
                UploadedPicture(custom_id=name, sha256=sha256, longest_side=max(header.width, header.height))
            )
        self._too_large = False
        if sum(map(len, self._unwritten.values())) >= _WRITTEN_BYTES:
            self.write()

    def write(self) -> None:
        """What is whole, into the store. Raises StoreError."""
        if self._unwritten:
            self._ledger.keep_pictures(self._unwritten)
            self._release(sum(map(len, self._unwritten.values())))
            self._unwritten.clear()

    def forget(self) -> None:
        """The request is over, whatever became of it."""
        self._unwritten.clear()
        self._release(self._held)

    def _release(self, size: int) -> None:
        self._backend.release_memory(size)
        self._held -= size
