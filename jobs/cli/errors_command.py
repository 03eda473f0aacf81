"""The command that says what went wrong."""

from collections.abc import Sequence

import click

from jobs.batches.failures import FailureKind, failure_kinds
from jobs.batches.session import Session
from jobs.cli.newest import batch_or_newest
from jobs.cli.options import json_option, newest_batch_argument
from jobs.cli.output import print_data, reader_may_leave, say
from jobs.config.settings import producer_settings
from jobs.core.text import MESSAGE_CHARS, dumps, label, one_line


@click.command()
@newest_batch_argument
@json_option
def errors(batch_id: str | None, as_json: bool) -> int:
    """Say what went wrong, by kind: how often, and with which message (of the newest batch, if none is named).

    \b
    Example: chartq errors b261122-k3x9qa
    """
    with Session(producer_settings()) as session, reader_may_leave():
        batch = batch_or_newest(session, batch_id)
        kinds = failure_kinds(session.ledger.failures(batch))
        for kind in kinds:
            print_data(dumps(kind.document()) if as_json else _kind_line(kind))
        if not as_json:
            say(_after_errors(batch.batch_id, kinds))
    return 0


def _kind_line(kind: FailureKind) -> str:
    status = "" if kind.status_code is None else f" {kind.status_code}"
    return f"{len(kind.job_ids):>7,}  {label(kind.type)}{status}: {one_line(kind.message, MESSAGE_CHARS)}"


def _after_errors(batch_id: str, kinds: Sequence[FailureKind]) -> str:
    if not kinds:
        return "nothing failed"
    again = f"chartq retry {batch_id}"
    return f"one kind again: {again} --error {kinds[0].type} (or --match TEXT); all: {again}"
