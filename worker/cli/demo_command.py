"""`chartq demo`: the main job on the sample charts, in a home of its own, and its results as a table."""

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from jobs.batches.follow import summary
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.cli.console import print_table
from jobs.cli.newest import demo_home, in_demo
from jobs.cli.output import say
from jobs.config.settings import Settings, load_settings
from jobs.core.text import beginning, label
from jobs.submit.folder import ChartFiles
from jobs.submit.question import make_question
from jobs.submit.submit import Order
from worker.cli.run import Run, run_order
from worker.monitoring.logging_setup import configure_logging
from worker.rehearsal import Behaviour, Rehearsal

#: A folder like a user's: several formats and sizes, two sub-folders; trends.json says what a right answer is.
CHARTS = Path(__file__).parent / "charts"

_PROMPT = "Is the trend of this trading chart up, down or sideways? Answer in one sentence."

#: Where the table goes into a pipe or a file.
_PIPE_COLUMNS = 120

#: A provider that throttles a little, so that the demo shows what chartq is for.
_REHEARSED = Behaviour(latency_s=0.4, budgets=[(8, 2.0)], hints="retry-after")


@click.command()
def demo() -> int:
    """Ask about the sample charts: Hugging Face if HF_TOKEN is set, else the rehearsal server.

    \b
    Example: chartq demo
    """
    logging.captureWarnings(True)
    started = time.monotonic()
    code = _show_demo()
    say(f"took {time.monotonic() - started:.1f} s")
    return code


def _show_demo() -> int:
    settings = own = load_settings()
    configure_logging("WARNING", settings.log_format)
    with ExitStack() as stack:
        rehearsal = settings.hf_token is None
        if rehearsal:
            server = stack.enter_context(Rehearsal(_REHEARSED))
            settings = server.settings(replace(settings, hf_api="chat"))
        home = demo_home(settings)  # its own, and nobody's servers: its answers are nobody else's
        settings = replace(settings, chartq_home=home, redis_url=None, results_url=None, chart_root=None)
        say(_who_answers(settings, rehearsal=rehearsal))
        session = stack.enter_context(Session(settings))
        running = _run(session, rehearsal=rehearsal)
        if running.document is not None:
            _print_results(session, running.document)
            say(summary(running.document))
        say(_who_answers(settings, rehearsal=rehearsal))
        say(f"stored in {settings.chartq_home} (the answers: results.sqlite)")
        if running.document is not None:
            say(f"again: {in_demo(own, 'results ' + running.document['batch_id'])} -o report.html")
        return running.exit_code


def _run(session: Session, *, rehearsal: bool) -> Run:
    question = make_question(session.settings, prompt=_PROMPT, model=None, parameters={})
    order = Order(
        source=ChartFiles(paths=[CHARTS], question=question), name="demo", refresh=rehearsal, count_rehearsals=rehearsal
    )
    return run_order(session, order, concurrency=8, grace_s=10.0)


def _who_answers(settings: Settings, *, rehearsal: bool) -> str:
    if rehearsal:
        return (
            "HF_TOKEN is not set: the REHEARSAL SERVER answers, not a model. Set HF_TOKEN to ask Hugging Face itself."
        )
    where = settings.hf_base_url or "Hugging Face"
    return f"HF_TOKEN is set: {where} answers, with {settings.vision_model}."


def _print_results(session: Session, document: BatchDocument) -> None:
    table = Table("chart", "status", "answer", title=f"{document['batch_id']} · {document['model']}")
    batch = session.ledger.batch(document["batch_id"])
    for row in session.results(batch):
        answer = row["text"] or (row["error"] or {}).get("message") or ""
        table.add_row(label(row["custom_id"]), row["status"], beginning(answer))
    print_table(table, pipe_columns=_PIPE_COLUMNS)
