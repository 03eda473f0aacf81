"""`/v1/files`: batch files that are uploaded, and the output of batches, which is a view of the ledger."""

import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from jobs.core.errors import InputError, UnknownIdError
from jobs.formats.openai_batch import error_line, output_line
from jobs.ledger.files import PART_BYTES, StoredFile
from jobs.server.access import Access, Granted
from jobs.server.errors import ApiError, not_found
from jobs.server.intake import parts_of
from jobs.server.models import ERRORS, Deleted, FileObject, Files
from jobs.server.multipart import Fields, pieces
from jobs.server.responses import Document

router = APIRouter(tags=["openai"])

#: Bytes of a file, as OpenAI has it.
MAX_BYTES = 200_000_000

#: Ids of a batch's files, which nobody uploaded.
_OUTPUT_ID = re.compile(r"file-(b\d{6}-[0-9a-z]{6})-(output|errors)")

_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "purpose"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "At most 200 MB."},
                    "purpose": {"enum": ["batch"]},
                },
            }
        }
    },
}


def output_id(batch_id: str, kind: Literal["output", "errors"]) -> str:
    """The id of a batch's output or error file."""
    return f"file-{batch_id}-{kind}"


@router.post(
    "/v1/files",
    operation_id="create_file",
    responses={200: {"model": FileObject}, **ERRORS},
    response_class=Document,
    openapi_extra={"requestBody": _BODY},
)
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
    kept, number, size, filename = bytearray(), 0, 0, None
    async for part, data in pieces(request, max_files=1):
        if part.filename is None:
            fields.take((part, data))
            continue
        if part.name != "file":
            raise ApiError(400, f"{part.name[:100]!r} is no field for the file: name it file", param="file")
        filename = part.filename
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


@router.get(
    "/v1/files", operation_id="list_files", responses={200: {"model": Files}, **ERRORS}, response_class=Document
)
def list_files(
    access: Granted,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> Document:
    """The files that were uploaded; those of batches are not among them."""
    behind = None if after is None else access.file(after).id
    page = access.session.ledger.files(
        owner=access.owner, purpose=purpose, after=behind, newest_first=order == "desc", limit=limit + 1
    )
    data = [_document(file) for file in page[:limit]]
    return Document({"object": "list", "data": data, **ends(data), "has_more": len(page) > limit})


@router.get(
    "/v1/files/{file_id}",
    operation_id="get_file",
    responses={200: {"model": FileObject}, **ERRORS},
    response_class=Document,
)
def get(file_id: str, access: Granted) -> Document:
    """What a file is. Of a batch's output it is counted: that takes as long as reading it."""
    view = _view(access, file_id)
    if view is None:
        return Document(_document(access.file(file_id)))
    record = access.openai_batch(view[0])
    size = sum(map(len, _lines(access, *view)))
    return Document(
        {
            "id": file_id,
            "object": "file",
            "bytes": size,
            "created_at": int(record.created_at),
            "filename": f"{view[0]}_{view[1]}.jsonl",
            "purpose": "batch_output",
            "status": "processed",
        }
    )


@router.get(
    "/v1/files/{file_id}/content",
    operation_id="get_file_content",
    responses={200: {"description": "The file.", "content": {"application/octet-stream": {}}}, **ERRORS},
    response_class=StreamingResponse,
)
def content(file_id: str, access: Granted) -> StreamingResponse:
    """The file itself, streamed."""
    view = _view(access, file_id)
    lines = _stored_bytes(access, access.file(file_id)) if view is None else _lines(access, *view)
    headers = {"content-disposition": f'attachment; filename="{file_id}.jsonl"'}
    return StreamingResponse(lines, media_type="application/octet-stream", headers=headers)


@router.delete(
    "/v1/files/{file_id}",
    operation_id="delete_file",
    responses={200: {"model": Deleted}, **ERRORS},
    response_class=Document,
)
def delete(file_id: str, access: Granted) -> Document:
    """Remove an uploaded file. Batches that were made of it stay."""
    if _view(access, file_id) is not None:
        raise ApiError(400, "a batch's output is no file of its own: it goes with the batch", param="file_id")
    file = access.file(file_id)
    try:
        access.session.ledger.delete_file(file)
    except InputError as error:
        raise ApiError(409, str(error), code="in_use") from None
    return Document({"id": file_id, "object": "file", "deleted": True})


def ends(data: list[dict[str, Any]]) -> dict[str, str | None]:
    """As OpenAI's lists have them."""
    return {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}


def _view(access: Access, file_id: str) -> tuple[str, str] | None:
    """The batch, and which of its files this is; None if it is none of a batch. Raises ApiError."""
    match = _OUTPUT_ID.fullmatch(file_id)
    if match is None:
        return None
    try:
        access.openai_batch(match[1])
    except UnknownIdError:
        raise not_found(f"no file {file_id!r}") from None
    return match[1], match[2]


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
