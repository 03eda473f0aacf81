"""Multipart bodies, piece by piece: nothing is kept here, whatever comes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jobs.server.errors import ApiError
from jobs.server.plain_body import check_plain

#: Bytes of a field that is no file: a long prompt in UTF-8.
MAX_FIELD_BYTES = 1_000_000

#: Fields that are no files.
_MAX_FIELDS = 50


@dataclass(frozen=True)
class Part:
    """A field of the form; a file if it has a file's name."""

    name: str
    filename: str | None


#: A part with a piece of it, or with None at its end.
Piece = tuple[Part, bytes | None]


async def pieces(request: Request, *, max_files: int) -> AsyncIterator[Piece]:
    """The form as it arrives. Raises ApiError: no form, compressed, damaged, too many parts, one twice."""
    check_plain(request)
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(415, "send multipart/form-data, as `curl -F` does", param="content-type")
    form = _Form(max_files)
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
            for piece in form.taken():
                yield piece
        parser.finalize()
    except FormParserError as error:
        raise ApiError(400, f"the form is damaged: {error}") from None
    if not form.ended:
        raise ApiError(400, "the form breaks off: its last boundary is missing")


async def files_of(
    request: Request, fields: "Fields", *, what: str, names: Sequence[str] = ("file",), max_files: int = 1
) -> AsyncIterator[tuple[str, bytes | None]]:
    """The form's files: a file's name with a piece of it, or with None at its end; the other fields into `fields`.

    Raises ApiError: as `pieces`, and for a file of another field than `names`, which are for `what`.
    """
    async for part, data in pieces(request, max_files=max_files):
        if part.filename is None:
            fields.take((part, data))
        elif part.name not in names:
            message = f"{part.name[:100]!r} is no field for {what}: name it {names[0]}"
            raise ApiError(400, message, param=names[0])
        else:
            yield part.filename, data


class Fields:
    """The fields that are no files, gathered and bounded."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytearray] = {}

    def take(self, piece: Piece) -> None:
        part, data = piece
        kept = self._bytes.setdefault(part.name, bytearray())
        kept += data or b""
        if len(kept) > MAX_FIELD_BYTES:
            raise ApiError(413, f"{part.name!r} is longer than {MAX_FIELD_BYTES:,} bytes", param=part.name)

    def texts(self) -> dict[str, str]:
        """Name -> value. Raises ApiError: not UTF-8."""
        try:
            return {name: value.decode("utf-8") for name, value in self._bytes.items()}
        except UnicodeDecodeError as error:
            raise ApiError(400, f"a field is not UTF-8 text: {error.reason}") from None


class _Form:
    """What the parser's callbacks say, as pieces."""

    def __init__(self, max_files: int) -> None:
        self._max_files, self._files, self._fields = max_files, 0, 0
        self._given: set[str] = set()
        self._ready: list[Piece] = []
        self._part = Part("", None)
        self._header = b""
        self._value = b""
        self._disposition = b""
        self.ended = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def taken(self) -> list[Piece]:
        ready, self._ready = self._ready, []
        return ready

    def _begin(self) -> None:
        self._disposition = self._header = self._value = b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, filename = options.get(b"name"), options.get(b"filename")
        if not name:
            raise ApiError(400, "the form is damaged: a part has no name")
        text = None if filename is None else filename.decode("utf-8", "replace")
        self._part = Part(name.decode("utf-8", "replace"), text)
        self._check_single(self._part)
        if filename is None:
            self._fields += 1
        else:
            self._files += 1
        if self._files > self._max_files or self._fields > _MAX_FIELDS:
            raise ApiError(413, f"the form has more than {self._max_files} files or {_MAX_FIELDS} fields")

    def _check_single(self, part: Part) -> None:
        """Raises ApiError: which of two is meant? Only files may be many, and what is named as a list, `name[]`."""
        is_many = part.name.endswith("[]") or (part.filename is not None and self._max_files > 1)
        if part.name in self._given and not is_many:
            raise ApiError(400, f"{part.name[:100]!r} is there twice: send it once", param=part.name[:100])
        if part.filename is not None and self._max_files == 1 and self._files:
            raise ApiError(400, f"{part.name[:100]!r} is a second file: send one", param=part.name[:100])
        self._given.add(part.name)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._ready.append((self._part, data[start:end]))

    def _on_part_end(self) -> None:
        self._ready.append((self._part, None))

    def _on_end(self) -> None:
        self.ended = True
