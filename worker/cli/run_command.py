"""`chartq run`: submit, work and watch in one."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import click

from jobs.batches.follow import summary
from jobs.batches.session import Session
from jobs.batches.tally import spent_line, tally, tally_line
from jobs.cli.options import json_option
from jobs.cli.order import check_stage, make_order, make_stage, submit_options
from jobs.cli.output import print_data, say
from jobs.cli.submit_commands import nothing_to_ask, tell_rejects, tell_sample
from jobs.config.log_dir import log_folder
from jobs.core.text import dumps, visible
from jobs.ledger import Batch
from jobs.schemas import answer_fields, parsed_answer
from jobs.submit.submit import Order
from worker.cli.options import concurrency_option, grace_option
from worker.cli.run import Run, run_order
from worker.engine.webhooks import webhooks_told
from worker.hf.from_settings import worker_settings
from worker.hf.prices import prices_of
from worker.monitoring.logging_setup import configure_logging


@click.command()
@submit_options
@click.option("--then", "template", metavar="TEMPLATE", help="Ask about each answer as it comes: {text}, {custom_id}.")
@click.option("--then-model", metavar="MODEL", help="Who is asked about the answers; default: REASONING_MODEL.")
@concurrency_option
@grace_option
@json_option
def run(
    template: str | None, then_model: str | None, concurrency: int, grace_s: float, as_json: bool, **options: Any
) -> int:
    """Submit a folder of charts, ask about all of them, and show how it goes.

    Run again with the same arguments it goes on where it stopped. Takes the requests of an OpenAI batch file too.

    \b
    Example: chartq run charts/ -p "Is the trend up or down?"
             chartq run charts/ -p "Up or down?" --sample 20 --max-failures 5
             chartq run charts/ --schema chart
             chartq run requests.jsonl
             chartq run charts/ -p "Describe it." --then "Bullish? {text}"
    """
    settings = worker_settings()
    order = make_order(settings, options)
    if template is None and then_model is not None:
        raise click.UsageError("--then-model goes with --then")
    if template is not None:
        check_stage(settings, order, template=template, model=then_model)
    configure_logging(
        # In words the panel says it better; who asks for JSON wants every job.
        "WARNING" if (settings.log_level, settings.log_format) == ("INFO", "text") else settings.log_level,
        settings.log_format,
        folder=log_folder(settings),
    )
    with Session(settings) as session, webhooks_told(session):
        then = partial(_then, session, template, then_model, options) if template is not None else None
        running = run_order(session, order, concurrency=concurrency, grace_s=grace_s, quiet=as_json, then=then)
        return _report(session, order, running, as_json=as_json)


def _then(session: Session, template: str, model: str | None, options: Mapping[str, Any], batch: Batch) -> Order:
    """The second stage: its question is its own, how it is asked the first one's."""
    own = {"prompt": template, "prompt_file": None, "model": model, "params": (), "schema": None}
    return make_stage(session.settings, session.ledger, batch, {**options, **own})


def _last_words(session: Session, running: Run, document: Mapping[str, Any]) -> Iterator[str]:
    """What the answers say together, what they cost, and how to read them."""
    batch = session.ledger.batch(document["batch_id"])
    if fields := answer_fields(batch.question):
        answers = (parsed_answer(row.text) for row in session.ledger.results(batch, status="finished"))
        yield from (tally_line(name, values) for name, values in tally(fields, answers).items())
    if document["usage"]["prompt_tokens"] and running.worker.jobs_taken:
        yield spent_line(document["usage"], prices_of(session.settings, batch.question))
    yield f"results: chartq results {batch.batch_id} · report: chartq results {batch.batch_id} -o report.html"


def _report(session: Session, order: Order, running: Run, *, as_json: bool) -> int:
    done, document = running.submitted, running.last_document
    if done is not None:
        tell_rejects(done.rejected)
    if as_json:
        print_data(dumps(document or (done.document() if done else {})))
    elif document is not None:
        print_data(visible(summary(document)))
        if done is not None:
            tell_sample(done)
        for line in _last_words(session, running, document):
            say(line)
    elif done is not None:
        say(f"{nothing_to_ask(order, done)}: nothing was submitted")
    if running.code is None and running.worker.shutdown.signal_received is not None:
        say("interrupted: the same command goes on where this one stopped")
    return running.exit_code
