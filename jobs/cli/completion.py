"""What a shell is offered for the Tab key where a batch's id is wanted. Quick, and silent whatever is wrong."""

from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import click

from jobs.batches.session import RESULTS_FILE, Session
from jobs.config.settings import producer_settings
from jobs.core.errors import ChartqError
from jobs.core.text import label
from jobs.ledger import Batch

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Batches looked at, the newest first.
_BATCHES = 100

#: Somebody waits at the keyboard: a store that is far away or down offers nothing.
_PATIENCE_S = 1.0


def complete_batches(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """The ids of batches that begin so, the newest first, each with its name or model."""
    from click.shell_completion import CompletionItem  # every command comes by here, few are asked

    found: SimpleQueue[list[Batch]] = SimpleQueue()
    Thread(target=lambda: found.put(_newest()), daemon=True).start()
    try:
        batches = found.get(timeout=_PATIENCE_S)
    except Empty:
        return []
    return [
        CompletionItem(batch.batch_id, help=label(batch.name or batch.question.model))
        for batch in batches
        if batch.batch_id.startswith(incomplete)
    ]


def _newest() -> list[Batch]:
    try:
        settings = producer_settings()
        if settings.results_url is None and not (settings.chartq_home / RESULTS_FILE).exists():
            return []  # looking must not make a home
        with Session(settings) as session:
            return list(islice(session.ledger.batches(), _BATCHES))
    except (ChartqError, OSError):
        return []
