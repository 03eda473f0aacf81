"""`python -m worker.rehearsal`: the stand-in as a process of its own, until SIGTERM or SIGINT."""

import signal
import sys
import threading
from typing import Any, cast, get_args

import click

from jobs.cli.values import refuse_blanks
from jobs.core.rates import RateLimits
from worker.rehearsal import Behaviour, Rehearsal
from worker.rehearsal.behaviour import KINDS, Fault, Hints, Window


def parse_budgets(text: str | None) -> list[tuple[int, float]]:
    """`30/5s` or `5/s,30/h`: calls and the window in seconds, of each."""
    try:
        return [(window.calls, window.window_ms / 1000) for window in RateLimits.parse(text or "").default]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def parse_fault(text: str) -> Fault:
    """A status, or the name of a fault."""
    if text.isdecimal() and 400 <= int(text) <= 599:
        return int(text)
    if text not in KINDS:
        raise click.BadParameter(f"{text!r} is neither a status of 400 to 599 nor one of {', '.join(sorted(KINDS))}")
    return cast(Fault, text)


def parse_fail_every(text: str) -> tuple[int, Fault]:
    count, _, fault = text.partition(":")
    if not count.isdecimal() or int(count) < 1:
        raise click.BadParameter(f"{text!r} is not like 10:502")
    return int(count), parse_fault(fault or "500")


@refuse_blanks
@click.command()
@click.option("--port", default=0, show_default="a free one")
@click.option("--host", default="127.0.0.1", show_default=True, help="In a container 0.0.0.0.")
@click.option("--latency", "latency_s", default=0.3, show_default=True, help="Seconds that an answer takes.")
@click.option(
    "--budget",
    "budgets",
    callback=lambda _context, _parameter, text: parse_budgets(text),
    metavar="N/WINDOW,...",
    help="Like 30/5s or 5/s,30/h: several hold together.",
)
@click.option("--window", type=click.Choice(get_args(Window)), default="fixed", show_default=True)
@click.option("--hints", type=click.Choice(get_args(Hints)), default="none", show_default=True)
@click.option("--cold-start", "cold_start_s", default=0.0, help="Seconds that a model needs to load.")
@click.option("--credits", type=int, help="Answers per token until 402.")
@click.option("--token", help="The only token that is let in; made up, it shows in the process list.")
@click.option("--model", "models", multiple=True, help="The only models that are served.")
@click.option("--max-concurrency", type=int, help="Most calls of a model in flight.")
@click.option("--fault", type=parse_fault, metavar="FAULT", help="For every call: a status, or hang, drop, html...")
@click.option(
    "--fail-every", type=parse_fail_every, multiple=True, metavar="N:FAULT", help="Like 10:502; also several times."
)
@click.option("--look/--no-look", default=True, help="Whether answers come from the image's pixels.")
def main(port: int, host: str, models: tuple[str, ...], **settings: Any) -> None:
    """Stand in for Hugging Face's API on this machine. Prints the base URL, then serves until it is ended."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Rehearsal(Behaviour(models=models or None, **settings), port=port, host=host) as server:
        click.echo(server.base_url)
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
