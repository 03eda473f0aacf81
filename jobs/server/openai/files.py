"""`/v1/files`: batch files that are uploaded, and the output of batches, which is a view of the ledger."""

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from jobs.core.errors import InputError
from jobs.formats.openai_batch import error_line, output_line
from jobs.ledger.files import PART_BYTES, StoredFile
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError
from jobs.server.intake import parts_of
from jobs.server.json_body import body_of
from jobs.server.multipart import Fields, files_of
from jobs.server.openai.shapes import Deleted, FileObject, Files
from jobs.server.responses import Document

router = APIRouter(tags=["openai"])

#: Bytes of a file, as OpenAI has it.
MAX_BYTES = 200_000_000

#: Ids of a batch's files, which nobody uploaded.
_OUTPUT_ID = re.compile(r"file-(b\d{6}-[0-9a-z]{6})-(output|errors)")


class Upload(BaseModel):
    """A form."""

    file: bytes = Field(description="At most 200 MB.")
    purpose: Literal["batch"]


@router.post("/v1/files", operation_id="create_file", response_model=FileObject, openapi_extra=body_of(form=Upload))
async def create(request: Request, access: Granted) -> Document:
    """Upload a batch file. It goes to the store as it comes."""
    ledger = access.session.ledger
    begin = partial(ledger.begin_file, owner=access.owner, filename="", now=time.time())
    file = await run_in_threadpool(begin)
    try:
        await _receive(request, access, file)
    except BaseException:
        await run_in_threadpool(ledger.drop_file, file)
        raise
    stored = await run_in_threadpool(ledger.file_of_row, file)
    return Document(_document(stored))


async def _receive(request: Request, access: Access, file: int) -> None:
    """Raises ApiError, StoreError."""
    ledger, fields = access.session.ledger, Fields()
    kept, number, size = bytearray(), 0, 0
    filename: str | None = None
    async for name, data in files_of(request, fields, what="the file"):
        filename = name
        kept += data or b""
        size += len(data or b"")
        if size > MAX_BYTES:
            raise ApiError(413, f"the file is larger than {MAX_BYTES:,} bytes", param="file", code="too_large")
        while len(kept) >= PART_BYTES:
            await run_in_threadpool(ledger.add_file_part, file, number, bytes(kept[:PART_BYTES]))
            del kept[:PART_BYTES]
            number += 1
    purpose = fields.texts().get("purpose")
    if filename is None:
        raise ApiError(400, "there is no file: send it as the field `file`", param="file")
    if purpose != "batch":
        raise ApiError(400, f"purpose {(purpose or '')[:100]!r}: only batch files are taken", param="purpose")
    if not size:
        raise ApiError(400, "the file is empty", param="file")
    if kept:
        await run_in_threadpool(ledger.add_file_part, file, number, bytes(kept))
    complete = partial(ledger.complete_file, file, bytes_=size, filename=filename[:500], purpose=purpose)
    await run_in_threadpool(complete)


@router.get("/v1/files", operation_id="list_files", response_model=Files)
def list_files(
    access: Granted,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> Document:
    """The files that were uploaded, and the output and error files of batches that have ended."""
    _note_outputs(access)
    behind = None if after is None else access.file(after).id
    page = access.session.ledger.files(
        owner=access.owner, purpose=purpose, after=behind, newest_first=order == "desc", limit=limit + 1
    )
    return listed([_document(file) for file in page[:limit]], has_more=len(page) > limit)


@router.get("/v1/files/{file_id}", operation_id="get_file", response_model=FileObject)
def get(file_id: str, access: Granted) -> Document:
    """What a file is."""
    return Document(_document(_file(access, file_id)))


@router.get(
    "/v1/files/{file_id}/content",
    operation_id="get_file_content",
    responses={200: {"description": "The file.", "content": {"application/octet-stream": {}}}},
    response_class=StreamingResponse,
)
def content(file_id: str, access: Granted) -> StreamingResponse:
    """The file itself, streamed."""
    file, view = _file(access, file_id), _OUTPUT_ID.fullmatch(file_id)
    lines = _stored_bytes(access, file) if view is None else _lines(access, view[1], view[2])
    headers = {"content-disposition": f'attachment; filename="{file_id}.jsonl"'}
    return StreamingResponse(lines, media_type="application/octet-stream", headers=headers)


@router.delete("/v1/files/{file_id}", operation_id="delete_file", response_model=Deleted)
def delete(file_id: str, access: Granted) -> Document:
    """Remove a file. Batches that were made of it, and the rows that an output shows, stay."""
    file = _file(access, file_id)
    try:
        access.session.ledger.delete_file(file)
    except InputError as error:
        raise ApiError(409, str(error), code="in_use") from None
    return Document({"id": file_id, "object": "file", "deleted": True})


def listed(data: list[dict[str, Any]], *, has_more: bool) -> Document:
    """A page of a list, as OpenAI has it."""
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return Document({"object": "list", "data": data, **ends, "has_more": has_more})


def _file(access: Access, file_id: str) -> StoredFile:
    """Raises UnknownIdError."""
    if _OUTPUT_ID.fullmatch(file_id):
        _note_outputs(access)
    return access.file(file_id)


def _note_outputs(access: Access) -> None:
    """Batches that have ended since the last look have files now. How long these are is told by reading them, once."""
    ledger = access.session.ledger
    for output in ledger.new_outputs(owner=access.owner):
        size = sum(map(len, _lines(access, output.batch_id, output.kind)))
        ledger.note_output(output, owner=access.owner, bytes_=size)


def _lines(access: Access, batch_id: str, kind: str) -> Iterator[bytes]:
    line = output_line if kind == "output" else error_line
    for row in access.session.results(access.batch(batch_id)):
        if text := line(row):
            yield text.encode()


def _stored_bytes(access: Access, file: StoredFile) -> Iterator[bytes]:
    read, offset = parts_of(access.session.ledger, file), 0
    while part := read(offset):
        yield part
        offset += len(part)


def _document(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }
