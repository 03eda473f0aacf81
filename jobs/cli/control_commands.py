"""The commands that steer what runs and remove what has: for all workers at once, kept in the ledger."""

import getpass
import socket
import time
from contextlib import suppress
from datetime import datetime
from typing import get_args

import click

from jobs.batches import operations
from jobs.batches.session import Session
from jobs.cli.options import batch_argument, model_or_batch_argument
from jobs.cli.output import say
from jobs.config.settings import producer_settings
from jobs.core.errors import InputError, UnknownIdError
from jobs.core.job import Api
from jobs.core.moments import moment, span_s
from jobs.core.rates import RateLimits
from jobs.core.text import counted, one_line
from jobs.core.time_text import clock
from jobs.ledger import Batch, Size
from jobs.submit.question import check_model

#: Calls of a model, all workers together.
_MOST_IN_FLIGHT = 10_000


def batch_or_model(session: Session, name: str | None) -> tuple[Batch | None, str | None]:
    """The batch of this id, or the model of this name that was ever asked. Raises InputError."""
    if not name:
        return None, None
    with suppress(UnknownIdError):
        return session.ledger.batch(name), None
    known = {gate.lane for gate in session.gates.all()} | set(session.queues.lanes()) | session.ledger.lanes()
    if not lanes_of(name) & known:
        raise InputError(f"{name!r} is no batch, and no model has such a lane: see chartq lanes")
    return None, name


def lanes_of(model: str) -> set[str]:
    """Those that a model may have, a kind of API each."""
    return {f"{api}:{model}" for api in get_args(Api)}


def whoami() -> str:
    """Who gives the command, for others to read: `ann@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return one_line(f"{user}@{socket.gethostname()}")


@click.command()
@model_or_batch_argument
@click.option("--until", metavar="TIME", help="Go on by itself then: 14:00, tomorrow 08:00, 2h.")
def pause(model_or_batch: str | None, until: str | None) -> int:
    """Start no call any more, whatever the worker: of a model, of a batch, or (without a name) at all.

    What is in flight ends. `chartq resume` with the same name goes on.

    \b
    Example: chartq pause Qwen/Qwen3-VL-30B-A3B-Instruct --until 14:00
             chartq pause b261122-k3x9qa --until 2h
             chartq pause
    """
    now = datetime.now().astimezone()
    try:
        ends = moment(until, now) if until is not None else None
    except ValueError as error:
        raise click.UsageError(f"--until: {error}") from None
    with Session(producer_settings()) as session:
        batch, model = batch_or_model(session, model_or_batch)
        if batch and not session.ledger.counts(batch, recent_since=0).open:
            raise InputError(f"{batch.batch_id} has ended: there is nothing to pause")
        for_s = (ends - now).total_seconds() if ends else None
        operations.pause(session, whoami(), model=model, batch=batch, for_s=for_s)
    name = f" {model_or_batch}" if model_or_batch else ""
    span = f" until {clock(ends.timestamp(), time.time())}" if ends else ""
    say(f"{model_or_batch or 'everything'} is paused{span}; go on with: chartq resume{name}")
    return 0


@click.command()
@click.argument("model")
@click.argument("rate", metavar="RATE|none")
@click.option(
    "--concurrency",
    type=click.IntRange(1, _MOST_IN_FLIGHT),
    metavar="N",
    help="Most calls in flight, all workers together.",
)
def limit(model: str, rate: str, concurrency: int | None) -> int:
    """Set a model's budget for all workers while they run; the smaller of it and the workers' own holds.

    \b
    Example: chartq limit Qwen/Qwen3-VL-30B-A3B-Instruct 30/m --concurrency 4
             chartq limit Qwen/Qwen3-VL-30B-A3B-Instruct none
    """
    try:
        budget = None if rate == "none" else RateLimits.parse(rate)
    except ValueError as error:
        raise click.UsageError(f"RATE: {error}, or none") from None
    if budget is not None and (budget.by_model or not budget.default):
        raise click.UsageError("RATE is one model's: write 30/m, or 5/s,30/h, or none")
    try:
        check_model(model)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    with Session(producer_settings()) as session:
        operations.limit(session, whoami(), model, rate=budget, concurrency=concurrency)
    held = ", ".join([*([str(budget)] if budget else []), *([f"{concurrency} in flight"] if concurrency else [])])
    say(f"{model}: {held} from now on, beside the workers' own limits" if held else f"{model} has no such limit now")
    return 0


@click.command()
@batch_argument
def delete(batch_id: str) -> int:
    """Remove a batch that has ended; an answer goes with it unless another batch has it too.

    \b
    Example: chartq delete b261122-k3x9qa
    """
    with Session(producer_settings()) as session:
        gone = operations.delete(session, session.ledger.batch(batch_id))
    say(f"{batch_id} is gone: {_size_words(gone)}")
    return 0


@click.command()
@click.option("--older-than", "age", required=True, metavar="SPAN", help="Of batches that ended longer ago: 90d, 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
def prune(age: str, dry_run: bool) -> int:
    """Remove all batches that ended long ago; an answer goes with them unless a batch that is left has it too.

    \b
    Example: chartq prune --older-than 90d --dry-run
    """
    try:
        older_than_s = span_s(age)
    except ValueError as error:
        raise click.UsageError(f"--older-than: {error}") from None
    total, count = Size(), 0
    with Session(producer_settings()) as session:
        for batch in list(operations.old(session, older_than_s)):
            if why := session.ledger.obstacle_to_deletion(batch):
                say(f"stays: {why}")
                continue
            gone = session.ledger.size_of(batch) if dry_run else operations.delete(session, batch)
            say(f"{batch.batch_id}: {_size_words(gone)}")
            total, count = total + gone, count + 1
    say(f"{counted(count, 'batch', 'batches')} {'would go' if dry_run else 'gone'}: {_size_words(total)}")
    return 0


def _size_words(size: Size) -> str:
    return f"{counted(size.rows, 'row')}, {counted(size.bytes, 'byte')} of answers"
