"""A batch's results as an answer, in any format, streamed: memory stays flat."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from jobs.formats import FORMATS, Format, ReportContext
from jobs.formats.compare import COMPARISONS, compare
from jobs.ledger import Batch
from jobs.server.access import Access
from jobs.server.errors import ApiError
from jobs.server.responses import streamed

#: A report's own policy allows its script and no more; this takes it out of the server's origin as well.
_SANDBOX = "sandbox allow-scripts allow-downloads"

#: Bytes of a file that are read at a time.
_PIECE_BYTES = 65_536


def results_response(access: Access, batch: Batch, *, form: str, status: str | None) -> Response:
    """Raises ApiError (no such format), InstallationError."""
    chosen = FORMATS.get(form)
    if chosen is None:
        raise ApiError(400, f"format {form!r} is none of {', '.join(FORMATS)}", param="format")
    download = {"content-disposition": f'attachment; filename="{batch.batch_id}{chosen.suffix}"'}
    headers = {"content-security-policy": _SANDBOX} if form == "html" else download
    pieces = _pieces(access, batch, chosen, status)
    return StreamingResponse(pieces, media_type=chosen.media_type, headers=headers)


def comparison_response(access: Access, a: Batch, b: Batch, *, form: str) -> Response:
    """Two batches side by side. Raises ApiError (no such format)."""
    if form not in COMPARISONS:
        raise ApiError(400, f"format {form!r} is none of {', '.join(COMPARISONS)}", param="format")
    session = access.session
    a_rows, b_rows = (session.results(batch, with_source=batch.source is not None) for batch in (a, b))
    a_told, b_told = (ReportContext.of(session, batch) for batch in (a, b))
    pieces = streamed(lambda out: compare(a_rows, b_rows, a_told, b_told, out, form))
    headers = {"content-security-policy": _SANDBOX} if form == "html" else {}
    return StreamingResponse(pieces, media_type=FORMATS[form].media_type, headers=headers)


def _pieces(access: Access, batch: Batch, form: Format, status: str | None) -> Iterator[bytes]:
    with_source = batch.source is not None and form.shows_source
    rows = access.session.results(batch, status=status, with_source=with_source, with_raw=form.shows_raw)
    context = ReportContext.of(access.session, batch)
    if (write := form.write_text) is not None:
        return streamed(lambda out: write(rows, out, context))
    return _from_file(lambda path: form.write(rows, path, context))


def _from_file(write: Callable[[Path], object]) -> Iterator[bytes]:
    """For formats that only a file can be: written whole before the first byte is sent."""
    folder = tempfile.TemporaryDirectory(prefix="chartq-results-")
    try:
        path = Path(folder.name) / "results"
        write(path)
        file = path.open("rb")
    except BaseException:
        folder.cleanup()
        raise
    return _read_and_remove(file, folder)


def _read_and_remove(file: BinaryIO, folder: "tempfile.TemporaryDirectory[str]") -> Iterator[bytes]:
    with folder, file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
