"""The producer's side for Python programs: submit, look, read. Settings come from the environment unless given."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.config.settings import Settings, producer_settings
from jobs.core.errors import InputError
from jobs.core.failure_limit import FailureLimit
from jobs.core.job import ENDED_STATES, OPEN_STATES
from jobs.schemas import SchemaSource
from jobs.submit.batch_file import look_at
from jobs.submit.folder import ChartFiles
from jobs.submit.question import make_question, picture_limits
from jobs.submit.submit import Order, check_name

#: An image file or a folder.
Source = str | os.PathLike[str]


def submit_folder(
    paths: Source | Sequence[Source],
    prompt: str | None = None,
    *,
    model: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    schema: SchemaSource | None = None,
    max_side: int | None = None,
    name: str | None = None,
    recursive: bool = True,
    refresh: bool = False,
    sample: int | None = None,
    max_failures: int | str | None = None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Put images and folders of images on the queue. Returns the document of `chartq submit --json`.

    If no image is accepted its `batch_id` is None and there is no batch. `model`: default VISION_MODEL. `schema`:
    "chart" (which brings a prompt), a file or a JSON schema that answers have to fit. `max_side`: pixels of a picture's
    longer side, as it is sent, instead of IMAGE_MAX_SIDE.
    `sample`: so many of the charts first, spread over all; the same call without it submits the rest to the batch.
    `max_failures`: the batch goes on hold when so many charts have failed, or such a share of them (`"5%"`).
    Raises InputError (prompt, model, parameters, schema, sample, max_failures), SettingsError, StoreError, QueueError.
    """
    settings = settings or producer_settings()
    sources = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not sources or "" in sources:
        raise InputError("no path was given: name at least one image file or folder")
    if sample is not None and sample < 1:
        raise InputError(f"sample={sample}: a sample has at least one chart")
    charts = ChartFiles(
        paths=[Path(source) for source in sources],
        question=make_question(
            settings, prompt=prompt, model=model, parameters=parameters or {}, schema=schema, max_side=max_side
        ),
        recursive=recursive,
        chart_root=settings.chart_root,
        sample=sample,
    )
    order = Order(
        source=charts,
        name=check_name(name),
        refresh=refresh,
        count_rehearsals=settings.rehearsal,
        max_failures=None if max_failures is None else FailureLimit.parse(str(max_failures)),
    )
    with Session(settings) as session:
        return session.submit(order).document()


def submit_requests(
    path: Source,
    *,
    model: str | None = None,
    max_side: int | None = None,
    name: str | None = None,
    refresh: bool = False,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Put the requests of a file of OpenAI's batch lines on the queue. Returns what `submit_folder` does.

    `model` is asked instead of the lines' own. Raises InputError (the file can't be read), SettingsError,
    StoreError, QueueError; lines that can't be taken are in `rejected`.
    """
    settings = settings or producer_settings()
    order = Order(
        source=look_at(
            Path(path), model=model, chart_root=settings.chart_root, limits=picture_limits(settings, max_side)
        ),
        name=check_name(name),
        refresh=refresh,
        count_rehearsals=settings.rehearsal,
    )
    with Session(settings) as session:
        return session.submit(order).document()


def batch_status(batch_id: str, *, settings: Settings | None = None) -> BatchDocument:
    """Where a batch stands: the document of `chartq status BATCH --json`. Raises UnknownIdError, StoreError."""
    with Session(settings or producer_settings()) as session:
        return session.status(session.ledger.batch(batch_id))


def iter_results(
    batch_id: str, *, status: str | None = None, settings: Settings | None = None
) -> Iterator[dict[str, Any]]:
    """A batch's results in the order of submission, as `chartq results` has them, read as they are taken.

    `status`: only rows of this state, `finished` say. Errors (UnknownIdError, InputError, StoreError) come with
    the first row. The store is closed at the end, and when the iterator is closed or forgotten.
    """
    if status is not None and status not in OPEN_STATES + ENDED_STATES:
        raise InputError(f"{status!r} is no state: {', '.join(OPEN_STATES + ENDED_STATES)}")
    with Session(settings or producer_settings()) as session:
        yield from session.results(session.ledger.batch(batch_id), status=status)
