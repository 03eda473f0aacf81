"""Files that were uploaded by HTTP, in parts: neither a request nor a reader ever has the whole in memory.

A batch's output and error files are views of its rows: of them there is only what a list of files shows.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.core.errors import InputError, UnknownIdError
from jobs.ledger.transaction import BEYOND, Transaction

OutputKind = Literal["output", "errors"]

#: Bytes of a part.
PART_BYTES = 1_000_000

#: Seconds after which an upload that is not complete has died.
_DEAD_AFTER_S = 86_400


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    id: int
    file_id: str
    owner: str
    filename: str
    purpose: str
    bytes: int
    created_at: float


@dataclass(frozen=True, kw_only=True)
class Output:
    """An ended batch's output or error file of which the ledger doesn't know yet how long it is."""

    batch_id: str
    kind: OutputKind
    ended_at: float


def output_id(batch_id: str, kind: OutputKind) -> str:
    """The id of a batch's output or error file."""
    return f"file-{batch_id}-{kind}"


def new_outputs(tx: Transaction, *, owner: str) -> list[Output]:
    """Those of an owner's batches that have ended, for the first time or once more, since they were last looked for."""
    found = []
    for row in tx.rows("ended_outputs", owner=owner):
        kinds: tuple[tuple[OutputKind, int, float | None], ...] = (
            ("output", row.finished, row.output_noted),
            ("errors", row.failures, row.errors_noted),
        )
        found += [
            Output(batch_id=row.batch_id, kind=kind, ended_at=row.ended_at)
            for kind, lines, noted_at in kinds
            if lines and noted_at != row.ended_at
        ]
    return found


def note_output(tx: Transaction, output: Output, *, owner: str, bytes_: int) -> None:
    """It is a file from now on, unless it was deleted."""
    tx.run(
        "note_output",
        file_id=output_id(output.batch_id, output.kind),
        owner=owner,
        filename=f"{output.batch_id}_{output.kind}.jsonl",
        bytes=bytes_,
        ended_at=output.ended_at,
    )


def drop_outputs(tx: Transaction, batch_id: str) -> None:
    """Its batch is gone."""
    tx.run("drop_outputs", file_ids=[output_id(batch_id, "output"), output_id(batch_id, "errors")])


def begin(tx: Transaction, *, owner: str, filename: str, now: float) -> int:
    """A file that is about to come; its row id. Uploads that died are removed."""
    for dead in tx.values("dead_uploads", before=now - _DEAD_AFTER_S):
        drop(tx, dead)
    row = tx.row("insert_file", file_id=f"file-{os.urandom(12).hex()}", owner=owner, filename=filename, now=now)
    assert row is not None
    file: int = row.id
    return file


def add_part(tx: Transaction, file: int, number: int, data: bytes) -> None:
    """The next part: PART_BYTES, but for the last."""
    tx.run("insert_part", file=file, number=number, data=data)


def complete(tx: Transaction, file: int, *, bytes_: int, filename: str, purpose: str) -> None:
    tx.run("complete_file", file=file, bytes=bytes_, filename=filename, purpose=purpose)


def get(tx: Transaction, file_id: str) -> StoredFile:
    """Raises UnknownIdError."""
    row = tx.row("file", file_id=file_id)
    if row is None:
        raise UnknownIdError(f"no file {file_id!r}")
    return StoredFile(**row._asdict())


def by_row(tx: Transaction, file: int) -> StoredFile:
    """A file that is complete."""
    row = tx.row("file_by_row", file=file)
    assert row is not None
    return StoredFile(**row._asdict())


def page(
    tx: Transaction, *, owner: str, purpose: str | None, after: int | None, newest_first: bool, limit: int
) -> Sequence[StoredFile]:
    """The next files behind this row, of one purpose or of all."""
    low, high = (0, BEYOND)
    if after is not None:
        low, high = (0, after) if newest_first else (after, BEYOND)
    rows = tx.rows(
        "files", owner=owner, purpose=purpose, after=low, before=high, newest_first=int(newest_first), page=limit
    )
    return [StoredFile(**row._asdict()) for row in rows]


def part(tx: Transaction, file: int, number: int) -> bytes:
    """A part; b"" behind the last."""
    found = tx.values("part", file=file, number=number)
    return bytes(found[0]) if found else b""


def delete(tx: Transaction, file: StoredFile) -> None:
    """Raises InputError: a batch is being made of it. A batch's output stays away, though its rows stay."""
    if file.purpose == "batch_output":
        tx.run("forget_output", file=file.id)
        return
    if tx.tuples("is_file_waiting", file_id=file.file_id):
        raise InputError(f"file {file.file_id!r} is being validated for a batch: wait for that, or cancel the batch")
    drop(tx, file.id)


def drop(tx: Transaction, file: int) -> None:
    tx.run("drop_parts", file=file)
    tx.run("drop_file", file=file)
