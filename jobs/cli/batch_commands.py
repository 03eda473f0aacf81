"""The commands that look at batches and their jobs: where they stand, until they have ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain

import click

from jobs.batches.documents import job_document
from jobs.batches.follow import UNFINISHED, facts, follow, lacks_charts, summary
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.cli.completion import complete_batches
from jobs.cli.newest import batch_or_newest, no_batches
from jobs.cli.options import json_option, newest_batch_argument
from jobs.cli.output import print_data, reader_may_leave, say
from jobs.cli.values import Number
from jobs.config.settings import producer_settings
from jobs.core.errors import UnknownIdError
from jobs.core.text import dumps, label, one_line, visible
from jobs.core.time_text import clock

#: Of a question and of a batch's name, in a line of `list`.
_QUESTION_CHARS, _NAME_CHARS = 48, 100


@click.command("list")
@json_option
def list_batches(as_json: bool) -> int:
    """List the batches, newest first.

    \b
    Example: chartq list
    """
    with Session(producer_settings()) as session, _warned_if_degraded(session), reader_may_leave():
        rows = session.statuses(session.ledger.batches())
        if as_json:
            for document in rows:
                print_data(dumps(document))
            return 0
        first = next(rows, None)
        if first is None:
            say(no_batches(session.settings))
            return 0
        from rich.table import Table  # a terminal's library, for who draws

        from jobs.cli.console import print_table

        table = Table(box=None)
        for column in ("batch", "status", "finished", "failed", "created"):
            table.add_column(column, no_wrap=True)  # an id that is cut off is of no use
        for column in ("name", "question", "model"):
            table.add_column(column, overflow="ellipsis")
        for document in chain([first], rows):
            counts = document["request_counts"]
            table.add_row(
                document["batch_id"],
                document["status"].replace("_", " "),
                f"{counts['finished']}/{counts['total']}",
                str(counts["failed"] or ""),
                f"{datetime.fromisoformat(document['created_at']).astimezone():%m-%d %H:%M}",
                label(document["name"] or "", _NAME_CHARS),
                one_line(document["prompt"], _QUESTION_CHARS),
                label(document["model"]),
            )
        print_table(table)
    return 0


@click.command()
@click.argument("batch_or_job_id", required=False, shell_complete=complete_batches)
@json_option
def status(batch_or_job_id: str | None, as_json: bool) -> int:
    """Say where a batch or a job stands; the newest batch, if none is named.

    \b
    Example: chartq status b261122-k3x9qa
    """
    with Session(producer_settings()) as session, _warned_if_degraded(session):
        try:
            document = session.document(batch_or_job_id or batch_or_newest(session, None).batch_id)
        except UnknownIdError as no_batch:
            return _print_job(session, batch_or_job_id or "", no_batch, as_json=as_json)
        limits = _limits(session, document) if not as_json and document["status"] in UNFINISHED else None
    print_data(dumps(document) if as_json else visible("\n".join([summary(document), *facts(document, limits)])))
    return 0


def _print_job(session: Session, job_id: str, no_batch: UnknownIdError, *, as_json: bool) -> int:
    try:
        document = job_document(session.ledger.job(job_id))
    except UnknownIdError:
        raise no_batch from None
    if as_json:
        print_data(dumps(document))
        return 0
    for name, value in document.items():
        words = _words(name, value)
        print_data(f"{name}: " + words.replace("\n", "\n  "))  # no line of a prompt passes for one of ours
    return 0


def _words(name: str, value: object) -> str:
    if not isinstance(value, str):
        return dumps(value)
    is_moment = name.endswith("_at")
    return clock(datetime.fromisoformat(value).timestamp(), time.time()) if is_moment else visible(value)


@click.command()
@newest_batch_argument
@click.option("--timeout", "timeout_s", type=Number(min=0), help="Give up after S seconds (exit 124).")
@json_option
def wait(batch_id: str | None, timeout_s: float | None, as_json: bool) -> int:
    """Wait until a batch has ended (exit 0, or 1 if jobs failed) or is on hold (exit 3); the newest, if none is named.

    \b
    Example: chartq wait b261122-k3x9qa --timeout 3600
    """
    noticed = _Unsubmitted()
    with Session(producer_settings()) as session:
        batch = batch_or_newest(session, batch_id)
        code, document = follow(session, batch, timeout_s=timeout_s, show=noticed.look)
    if as_json:
        print_data(dumps(document))
    else:
        say(summary(document))
    return code


def _limits(session: Session, document: BatchDocument) -> str:
    from jobs.cli.panel import limits_in_force  # draws with a terminal's library

    return limits_in_force(session.gates_if_possible(session.ledger.batch(document["batch_id"])))


@contextmanager
def _warned_if_degraded(session: Session) -> Iterator[None]:
    """What was shown is right, but may lack a hold or a wait."""
    yield
    if session.degraded_reason is not None:
        say(f"without holds and waiting times: {session.degraded_reason}")


class _Unsubmitted:
    """Says once that a batch waits for a submit that seems to have died: nobody but its user can end that."""

    _AFTER_S = 10.0

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def look(self, document: BatchDocument) -> None:
        """Called with the batch's document, again and again."""
        now = time.monotonic()
        self._since = (self._since or now) if lacks_charts(document) else None
        if self._since is not None and now - self._since >= self._AFTER_S and not self._told:
            self._told = True
            say(summary(document))


@click.command()
@newest_batch_argument
def watch(batch_id: str | None) -> int:
    """Watch a batch live (the newest, if none is named); Ctrl-C leaves it running.

    \b
    Example: chartq watch b261122-k3x9qa
    """
    from jobs.cli.console import messages
    from jobs.cli.watching import watched

    with Session(producer_settings()) as session:
        batch = batch_or_newest(session, batch_id)
        try:
            with watched(session, messages()) as watching:
                code, document = follow(session, batch, show=watching.show)
        except KeyboardInterrupt:
            say(f"the batch goes on without you; come back with: chartq watch {batch.batch_id}")
            return 130
    say(summary(document))
    return code
