"""`submit`, and the words on what was refused, which `run` and `rehearse` say too."""

from collections.abc import Sequence
from typing import Any

import click

from jobs.batches.cost import PricesOf, no_prices
from jobs.batches.plan import plan
from jobs.batches.session import Session
from jobs.cli.console import messages
from jobs.cli.options import json_option
from jobs.cli.order import make_order, make_stage, submit_options
from jobs.cli.output import print_data, say
from jobs.cli.progress import shown
from jobs.config.settings import producer_settings
from jobs.core.text import counted, dumps, one_line
from jobs.ledger import Batch
from jobs.submit.source import Rejected
from jobs.submit.submit import Order, Submitted, find_batch

#: Rejected files that are named to people.
_REJECTS_NAMED = 10


def tell_sample(done: Submitted) -> None:
    """Say it was a sample, and how to go on."""
    if sentence := done.sample_sentence():
        say(sentence)


def tell_rejects(rejected: Sequence[Rejected]) -> None:
    """Name what was refused: the first few, and how many more there are."""
    for reject in rejected[:_REJECTS_NAMED]:
        say(f"rejected {reject.path!r}: {one_line(reject.error)}")
    if len(rejected) > _REJECTS_NAMED:
        say(f"... and {len(rejected) - _REJECTS_NAMED} more rejected (--json names all)")


@click.command()
@submit_options
@click.option(
    "--from", "source", metavar="BATCH", help="Ask about each answer of that batch: {text}, {custom_id} in -p."
)
@click.option("--with-image", is_flag=True, help="With --from: show the answer's picture too.")
@click.option("--dry-run", is_flag=True, help="Look and count, but write and enqueue nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print the batch id and nothing else.")
@json_option
@click.pass_obj
def submit(
    prices_of: PricesOf | None,
    /,
    source: str | None,
    with_image: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Put a folder of charts on the queue and print the batch id; or the requests of an OpenAI batch file.

    \b
    Example: chartq submit charts/ -p "Is the trend up or down?"
             chartq submit charts/ -p "Is the trend up or down?" --sample 20
             chartq submit charts/ --schema chart
             chartq submit requests.jsonl
             chartq submit --from b261122-k3x9qa -p "Is this bullish? {text}"
    """
    settings = producer_settings()
    if source is None and with_image:
        raise click.UsageError("--with-image goes with --from: charts are shown anyway")
    if source is not None:
        _check_stage(options, with_image=with_image)
    first = make_order(settings, options) if source is None else None
    with Session(settings) as session:
        order = first or make_stage(
            settings, session.ledger, session.ledger.batch(str(source)), options, with_image=with_image
        )
        if dry_run:
            return _dry_run(session, order, prices_of or no_prices, as_json=as_json)
        unfinished = find_batch(session.ledger, order, resume_existing=True)
        with shown(messages, quiet=quiet or as_json) as show:
            done = session.submit(order, progress=lambda so_far: show(f"{counted(so_far.total, 'chart')} submitted"))
    if as_json:
        print_data(dumps(done.document()))
    elif done.batch is not None:
        print_data(done.batch.batch_id)
    if not as_json and (not quiet or not done.total):
        tell_rejects(done.rejected)
        _tell_submitted(order, done)
        _tell_unfinished(unfinished, done)
    return 0 if done.total else 1


def _check_stage(options: dict[str, Any], *, with_image: bool) -> None:
    """What says where charts are, or how they are shown, has no meaning for answers."""
    if options["paths"]:
        raise click.UsageError("--from and PATHs: the answers of one batch are asked about, or charts")
    if options["sample"] is not None:
        raise click.UsageError("--sample is for folders: take a sample of the charts, and ask about its answers")
    if options["max_side"] is not None and not with_image:
        raise click.UsageError("--max-side is for pictures: of answers they are shown with --with-image only")


def nothing_to_ask(order: Order, done: Submitted) -> str:
    """Why there is no batch: everything was refused, or nothing is there."""
    if done.rejected:
        return f"no {'image' if order.source_batch is None else 'answer'} was accepted"
    return f"nothing to ask about was found in {', '.join(map(repr, order.source.labels[:_REJECTS_NAMED]))}"


def _tell_submitted(order: Order, done: Submitted) -> None:
    if done.batch is None or not done.total:
        say(f"{nothing_to_ask(order, done)}: nothing was submitted")
        return
    say(f"{counted(done.total, 'chart')}: {done.total - done.cached} to ask, {done.cached} answered already")
    tell_sample(done)
    say(f"next: chartq worker · chartq watch {done.batch.batch_id} · chartq results {done.batch.batch_id}")


def _tell_unfinished(before: Batch | None, done: Submitted) -> None:
    """The same charts and question wait in another batch as well, perhaps of an interrupted `run`."""
    if before is None or done.batch is None or before.batch_id == done.batch.batch_id:
        return
    say(
        f"{before.batch_id} has the same charts and question and is unfinished too; what both want is asked once. "
        f"Only that one: chartq cancel {done.batch.batch_id}; only this one: chartq cancel {before.batch_id}"
    )


def _dry_run(session: Session, order: Order, prices_of: PricesOf, *, as_json: bool) -> int:
    planned = plan(session, order, prices_of)
    if as_json:
        print_data(dumps(planned.document()))
    else:
        tell_rejects(planned.done.rejected)
        print_data("\n".join(planned.lines()))
    return 0 if planned.done.total else 1
