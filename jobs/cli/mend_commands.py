"""The commands that mend a batch: ask again, give up, go on."""

import click

from jobs.batches import operations
from jobs.batches.session import Session
from jobs.cli.control_commands import batch_or_model, lanes_of
from jobs.cli.options import batch_argument, model_or_batch_argument
from jobs.cli.output import say
from jobs.config.settings import producer_settings
from jobs.core.job import model_of
from jobs.core.text import counted
from jobs.ledger import FailureFilter


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
    say(f"{counted(again, 'job')} queued again")
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
        canceled = operations.cancel(session, session.ledger.batch(batch_id))
        say(f"{counted(canceled, 'job')} canceled")
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
    pauses = f"{counted(ended, 'pause')} ended, " if ended else ""
    say(f"{pauses}{counted(opened, 'lane')} opened, {counted(found.put_back, 'job')} put back on the queue")
    if found.left_alone:
        in_flight = counted(found.left_alone, "job")
        say(f"{in_flight} in flight: where a worker is lost, another one takes over within a minute")
    return 0


def _still_paused(session: Session, lanes: set[str] | None) -> str:
    """What keeps a batch or a model waiting that was resumed by name."""
    controls, now = session.ledger.controls(), session.now()
    for lane in lanes or ():
        if pause := controls.pause_of(lane, now):
            paused = f"but calls of {model_of(lane)} are {pause.message(now)}"
            return f"{paused}: chartq resume (all), or with the model's name"
    return ""
