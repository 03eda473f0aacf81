"""The commands about batches and their jobs: where they stand, wait for them, ask again, give up, go on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain

import click

from jobs.batches import operations
from jobs.batches.documents import job_document
from jobs.batches.failures import FailureKind, failure_kinds
from jobs.batches.follow import UNFINISHED, facts, follow, lacks_charts, summary
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.cli.completion import complete_batches
from jobs.cli.control_commands import batch_or_model, lanes_of
from jobs.cli.newest import batch_or_newest, no_batches
from jobs.cli.options import batch_argument, json_option, model_or_batch_argument, newest_batch_argument
from jobs.cli.output import print_data, reader_may_leave, say
from jobs.config.settings import producer_settings
from jobs.core.errors import UnknownIdError
from jobs.core.job import model_of
from jobs.core.text import MESSAGE_CHARS, dumps, label, one_line, visible
from jobs.ledger import FailureFilter

#: Of a question and of a batch's name, in a line of `list`.
_QUESTION_CHARS, _NAME_CHARS = 48, 100


@click.command("list")
@json_option
def list_batches(as_json: bool) -> int:
    """List the batches, newest first.

    \b
    Example: chartq list
    """
    with Session(producer_settings()) as session, _blindness_told(session), reader_may_leave():
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
    with Session(producer_settings()) as session, _blindness_told(session):
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
        words = visible(value) if isinstance(value, str) else dumps(value)
        print_data(f"{name}: " + words.replace("\n", "\n  "))  # no line of a prompt passes for one of ours
    return 0


@click.command()
@newest_batch_argument
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="Give up after S seconds (exit 124).")
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
def _blindness_told(session: Session) -> Iterator[None]:
    """What was shown is right, but may lack a hold or a wait."""
    yield
    if session.blind is not None:
        say(f"without holds and waiting times: {session.blind}")


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


def _still_paused(session: Session, lanes: set[str] | None) -> str:
    """What keeps a batch or a model waiting that was resumed by name."""
    controls, now = session.ledger.controls(), session.now()
    for lane in lanes or ():
        if pause := controls.pause_of(lane, now):
            return (
                f"but calls of {model_of(lane)} are {pause.message(now)}: chartq resume (all), or with the model's name"
            )
    return ""


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


@click.command()
@batch_argument
@click.option("--error", "type_", metavar="TYPE", help="Only failures of this type, as `chartq errors` names it.")
@click.option("--match", metavar="TEXT", help="Only failures with this text in their message.")
def retry(batch_id: str, type_: str | None, match: str | None) -> int:
    """Queue again what failed, with fresh attempts; all of it, or one kind.

    \b
    Example: chartq retry b261122-k3x9qa --error HFTimeoutError
    """
    with Session(producer_settings()) as session:
        batch = session.ledger.batch(batch_id)
        again = operations.retry(session, batch, FailureFilter(type=type_, match=match))
    say(f"{again} jobs queued again")
    if not again and (type_ or match):
        say(f"which kinds of failures there are: chartq errors {batch_id}")
    return 0


@click.command()
@batch_argument
def cancel(batch_id: str) -> int:
    """Cancel what has not started; what another batch still wants goes on.

    \b
    Example: chartq cancel b261122-k3x9qa
    """
    with Session(producer_settings()) as session:
        say(f"{operations.cancel(session, session.ledger.batch(batch_id))} jobs canceled")
    return 0


@click.command()
@model_or_batch_argument
def resume(model_or_batch: str | None) -> int:
    """Open what is on hold (one probe goes first), end pauses, and put back on the queue what Redis has lost.

    A batch that had too many failures goes on only if it is named; they are counted anew from then on.

    \b
    Example: chartq resume Qwen/Qwen3-VL-30B-A3B-Instruct
             chartq resume b261122-k3x9qa
    """
    with Session(producer_settings()) as session:
        batch, model = batch_or_model(session, model_or_batch)
        lanes = {batch.question.lane} if batch else lanes_of(model) if model else None
        before = session.ledger.controls().pauses.keys()
        opened, found = operations.resume(session, lanes, batch)
        ended = len(before - session.ledger.controls().pauses.keys())
        held = [] if batch else [one.batch_id for one in session.ledger.held() if session.status(one)["hold"]]
        still = _still_paused(session, lanes)
    if batch and batch.hold:
        say(f"{batch.batch_id} goes on" + ("" if batch.hold.is_pause else "; its failures are counted anew"))
    if still:
        say(still)
    for batch_id in held:
        say(f"{batch_id} stays on hold, too many of its charts failed: chartq resume {batch_id}")
    pauses = f"{ended} pauses ended, " if ended else ""
    say(f"{pauses}{opened} lanes opened, {found.requeue_missing} jobs put back on the queue")
    if found.left_alone:
        say(f"{found.left_alone} jobs are in flight: if their worker is lost, another takes them over within a minute")
    return 0
