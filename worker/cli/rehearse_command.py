"""`chartq rehearse`: the same run against the rehearsal server on a fast clock, before anything is spent.

The worker, its Redis, store, gates and budgets are the real ones, in a home of their own that is gone afterwards.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from jobs.batches.session import Session
from jobs.cli.console import messages
from jobs.cli.main import FAILED
from jobs.cli.options import json_option
from jobs.cli.order import make_order, submit_options
from jobs.cli.output import print_data, say
from jobs.cli.progress import shown
from jobs.cli.submit_commands import nothing_to_ask, tell_rejects
from jobs.cli.values import Number
from jobs.config.settings import Settings, load_settings
from jobs.core.clock import FastClock
from jobs.core.rates import RateLimits, Window
from jobs.core.text import counted, dumps
from jobs.core.time_text import duration
from jobs.ledger import Batch, StartedJob
from jobs.submit.batch_file import is_batch_file
from jobs.submit.submit import Order, Submitted
from worker.cli.forecast import Forecast, Provider, Tally, fitting_speed
from worker.cli.options import concurrency_option
from worker.cli.run import Run, run_order
from worker.engine.exchange import Lease
from worker.engine.hooks import Hooks
from worker.engine.settlement import FinishedExecution
from worker.monitoring.logging_setup import configure_logging
from worker.rehearsal import Behaviour, Fault, Rehearsal
from worker.rehearsal.__main__ import parse_fail_every

#: Nothing real is in flight that would be worth waiting for.
_GRACE_S = 1.0

#: Whatever is asked: nobody answers it.
_PROMPT = "Is the trend up, down or sideways?"


@click.command()
@submit_options
@click.option("--rate", metavar="RATE", help="What the provider allows, like 30/h or 5/s,30/h. Default: HF_RATE_LIMIT.")
@click.option("--untold", is_flag=True, help="chartq isn't told the rate: it finds out by being refused.")
@click.option("--hints/--no-hints", default=True, show_default=True, help="Refusals say for how long (Retry-After).")
@click.option(
    "--latency",
    "latency_s",
    type=Number(min=0.01),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds that an answer takes.",
)
@click.option(
    "--fail-every",
    type=parse_fail_every,
    multiple=True,
    metavar="N:FAULT",
    help="Every Nth call fails, like 50:502; also several times.",
)
@click.option(
    "--speed",
    type=Number(1, 100_000),
    default=1000.0,
    show_default=True,
    help="Times as fast as in truth, at most.",
)
@concurrency_option
@json_option
def rehearse(
    rate: str | None,
    untold: bool,
    hints: bool,
    latency_s: float,
    fail_every: tuple[tuple[int, Fault], ...],
    speed: float,
    concurrency: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Show what a run would do: calls, refusals, how long, done by when.

    The same run on a fast clock, against a stand-in for Hugging Face: no token is used, nothing is paid, and nothing
    of it stays. Every chart counts as one to ask; how many are answered already says `submit --dry-run`.

    \b
    Example: chartq rehearse charts/ --rate 30/h
    """
    settings = load_settings()
    brings_questions = len(options["paths"]) == 1 and is_batch_file(options["paths"][0])
    if not (options["prompt"] or options["prompt_file"] or options["schema"] or brings_questions):
        options["prompt"] = _PROMPT
    order = make_order(settings, options)
    order = replace(order, name=f"REHEARSAL {order.name or ''}".strip())
    windows = _windows(rate, settings, order.question.model)
    told = bool(windows) and not untold
    provider = Provider(windows=windows, told=told, latency_s=latency_s, concurrency=concurrency)
    behaviour = _behaviour(provider, hints=hints, fail_every=fail_every)
    if latency_s >= settings.vision_timeout_s:
        raise click.UsageError(f"--latency {latency_s:g}: every call would be over VISION_TIMEOUT, raise that first")
    configure_logging("ERROR", settings.log_format)  # failures are rehearsed ones, and counted
    with RehearsalEnvironment(settings, provider, behaviour, speed) as environment:
        submitted = _submit(environment.session, order, quiet=as_json)
        if submitted.batch is None:
            say(f"{nothing_to_ask(order, submitted)}: there is nothing to rehearse")
            return FAILED
        environment.clock.speed = fitting_speed(speed, provider, submitted.total)
        if not as_json:
            _announce(provider, environment.clock.speed, speed, submitted.total)
        running = environment.run(order, submitted, quiet=as_json)
        _tell(environment.forecast(submitted, running), as_json=as_json)
    return running.exit_code


class RehearsalEnvironment:
    """A provider that is played, a home that is gone afterwards, a clock that runs fast. A context manager."""

    def __init__(self, settings: Settings, provider: Provider, behaviour: Behaviour, speed: float) -> None:
        self._settings, self._provider = settings, provider
        self._open = ExitStack()
        self._sent_at: dict[str, float] = {}  # by execution, for the calls in flight
        self._server = Rehearsal(behaviour, clock=(clock := FastClock(speed)), sent_at=self._sent_at.get)
        self.clock = clock
        self._tally, self._took_s = Tally(), 0.0

    def __enter__(self) -> "RehearsalEnvironment":
        home = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="chartq-rehearsal-")))
        server = self._open.enter_context(self._server)
        told = RateLimits(tuple(self._provider.windows) if self._provider.told else ())
        settings = replace(
            server.settings(self._settings), chartq_home=home, redis_url=None, results_url=None, hf_rate_limit=told
        )
        self.session = self._open.enter_context(Session(settings, clock=self.clock))
        return self

    def __exit__(self, *_raised: object) -> None:
        self._open.close()

    def run(self, order: Order, submitted: Submitted, *, quiet: bool) -> Run:
        """Run what was submitted; the clock starts with the worker's first round."""
        return run_order(
            self.session,
            order,
            concurrency=self._provider.concurrency,
            grace_s=_GRACE_S,
            quiet=quiet,
            submitted=submitted,
            hooks=Hooks(polled=self.clock.start, started=self._started, ended=self._ended),
        )

    def forecast(self, submitted: Submitted, running: Run) -> Forecast:
        """What came of it."""
        return Forecast(
            provider=self._provider,
            speed=self.clock.speed,
            took_s=self._took_s,
            tally=self._tally,
            batch=running.document or self.session.status(cast(Batch, submitted.batch)),
            rejected=submitted.rejected,
        )

    def _started(self, lease: Lease, _job: StartedJob) -> None:
        self._sent_at[lease.execution] = lease.spent_ms / 1000

    def _ended(self, ending: FinishedExecution) -> None:
        self._tally.count(ending)
        self._took_s = self.clock.now() - self.clock.began_at
        self._sent_at.pop(ending.lease.execution, None)
        self._server.record.clear()  # nobody reads it, and a hundred thousand calls take room


def _windows(rate: str | None, settings: Settings, model: str) -> tuple[Window, ...]:
    if rate is None:
        return settings.hf_rate_limit.windows(model)
    try:
        return RateLimits.parse(rate).windows(model)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rate") from None


def _behaviour(provider: Provider, *, hints: bool, fail_every: Sequence[tuple[int, Fault]]) -> Behaviour:
    budgets = [(window.calls, window.window_ms / 1000) for window in provider.windows]
    return Behaviour(
        latency_s=provider.latency_s,
        budgets=budgets,
        hints="retry-after" if hints else "none",
        fail_every=fail_every,
        look=False,
    )


def _submit(session: Session, order: Order, *, quiet: bool) -> Submitted:
    with shown(messages, quiet=quiet) as show:
        done = session.submit(order, progress=lambda so_far: show(f"{counted(so_far.total, 'chart')} read"))
    tell_rejects(done.rejected)
    return done


def _announce(provider: Provider, speed: float, wanted: float, charts: int) -> None:
    lasts = duration(provider.shortest_s(charts) / speed)
    if speed < wanted:
        say(f"REHEARSAL at {speed:g} times the speed ({wanted:g} is more than this machine can show): {lasts} or more")
    else:
        say(f"REHEARSAL at {speed:g} times the speed: {lasts} or more. All times shown are the rehearsed ones")


def _tell(forecast: Forecast, *, as_json: bool) -> None:
    if as_json:
        print_data(dumps(forecast.document()))
        return
    for line in forecast.lines():
        print_data(line)
