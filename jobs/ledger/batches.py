"""Batches in the ledger: opened, sealed, found and listed."""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, true, update

from jobs.core.errors import UnknownIdError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question, canonical_json
from jobs.ledger import questions
from jobs.ledger.columns import clean
from jobs.ledger.database import Store, upserting
from jobs.ledger.member_status import has_claim
from jobs.ledger.questions import Questions
from jobs.ledger.records import Batch, Hold
from jobs.ledger.schema import AnyRow, batches, job_is_open, jobs, members

#: Crockford's base 32, lower case: nothing that is mistaken for something else when read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_CHARS = 6

#: Which batches a submit may go on with: samples; also those whose submit died; also those with open rows.
Among = Literal["samples", "unsealed", "unfinished"]

#: Batches read at a time when all are listed.
_PAGE = 500


def open_batch(
    connection: Connection,
    *,
    question: Question,
    name: str | None,
    fingerprint: str,
    sources: Sequence[str],
    priority: str,
    now: float,
    sampled_of: int | None = None,
    max_failures: FailureLimit | None = None,
) -> Batch:
    """Write a new batch without members."""
    questions.put(connection, {question.id: question})
    insert = upserting(connection, batches).on_conflict_do_nothing(index_elements=["batch_id"])
    row = None
    while row is None:  # a name that is taken is drawn again
        row = connection.execute(
            insert.values(
                batch_id=_new_batch_id(now),
                name=name,
                question_id=question.id,
                fingerprint=fingerprint,
                sources=canonical_json(list(sources)),
                priority=priority,
                created_at=now,
                sampled_of=sampled_of,
                max_failures=str(max_failures) if max_failures else None,
                failures_left=max_failures.left(failed=0, ended=0) if max_failures else None,
            ).returning(batches)
        ).one_or_none()
    return _batch(row, question)


def unseal(connection: Connection, batch: Batch) -> None:
    """More is about to be added: the batch is not completed before it is sealed again."""
    connection.execute(update(batches).where(batches.c.id == batch.id).values(sealed_at=None))


def seal(connection: Connection, batch: Batch, now: float, *, sampled_of: int | None) -> int:
    """Nothing is added any more: from here on the batch can be completed. Returns how many rows it has."""
    count = select(func.count()).where(members.c.batch == batch.id).scalar_subquery()
    sealed_at = func.coalesce(batches.c.sealed_at, now)
    total: int = connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(sealed_at=sealed_at, total=count, sampled_of=sampled_of)
        .returning(batches.c.total)
    ).scalar_one()
    return total


def find_batch(connection: Connection, known: Questions, fingerprint: str, *, among: Among) -> Batch | None:
    """The newest batch of this fingerprint that has not been canceled and is not through."""
    unfinished: ColumnElement[bool] = batches.c.sampled_of.is_not(None)
    if among != "samples":
        unfinished = or_(unfinished, batches.c.sealed_at.is_(None))
    if among == "unfinished":
        waits = exists().where(members.c.batch == batches.c.id, has_claim, jobs.c.id == members.c.job, job_is_open)
        unfinished = or_(unfinished, waits)
    row = connection.execute(
        select(batches)
        .where(batches.c.fingerprint == fingerprint, batches.c.canceled_at.is_(None), unfinished)
        .order_by(batches.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _batch(row, known.get(connection, row.question_id))


def custom_ids(connection: Connection, batch: Batch) -> set[str]:
    """What the batch has so far."""
    return set(connection.execute(select(members.c.custom_id).where(members.c.batch == batch.id)).scalars())


def held_batches(connection: Connection, known: Questions) -> list[Batch]:
    """Those that were put on hold themselves."""
    rows = connection.execute(select(batches).where(batches.c.hold_reason.is_not(None)).order_by(batches.c.id)).all()
    asked = known.get_all(connection, {row.question_id for row in rows})
    return [_batch(row, asked[row.question_id]) for row in rows]


def get_batch(connection: Connection, known: Questions, batch_id: str) -> Batch:
    """The batch; raises UnknownIdError."""
    row = connection.execute(select(batches).where(batches.c.batch_id == clean(batch_id))).one_or_none()
    if row is None:
        raise UnknownIdError(f"no batch {batch_id!r}; `chartq list` shows all there are")
    return _batch(row, known.get(connection, row.question_id))


def all_batches(store: Store, known: Questions) -> Iterator[Batch]:
    """Newest first; read page by page, so that no transaction stays open meanwhile."""
    before: int | None = None
    while page := store.read(partial(_page, known=known, before=before)):
        yield from page
        before = page[-1].id


def _page(connection: Connection, *, known: Questions, before: int | None) -> list[Batch]:
    older = true() if before is None else batches.c.id < before
    rows = connection.execute(select(batches).where(older).order_by(batches.c.id.desc()).limit(_PAGE)).all()
    asked = known.get_all(connection, {row.question_id for row in rows})
    return [_batch(row, asked[row.question_id]) for row in rows]


def _new_batch_id(now: float) -> str:
    day = time.strftime("%y%m%d", time.gmtime(now))
    return f"b{day}-" + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))


def _batch(row: AnyRow, question: Question) -> Batch:
    hold = None
    if row.hold_reason is not None:
        hold = Hold(reason=row.hold_reason, message=row.hold_message or "", since=row.hold_since or 0.0)
    return Batch(
        id=row.id,
        batch_id=row.batch_id,
        name=row.name,
        question=question,
        fingerprint=row.fingerprint,
        priority=row.priority,
        total=row.total,
        created_at=row.created_at,
        sealed_at=row.sealed_at,
        canceled_at=row.canceled_at,
        hold=hold,
        sources=tuple(json.loads(row.sources)),
        sampled_of=row.sampled_of,
        max_failures=FailureLimit.parse(row.max_failures) if row.max_failures else None,
    )
