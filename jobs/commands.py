"""The producer's commands: parse, call one function, print. No command here needs the worker's libraries."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import click
from rich.table import Table

from jobs.asking import make_question, parse_parameters, read_prompt_file
from jobs.documents import iso
from jobs.errors import InputError, UnknownIdError
from jobs.follow import duration, follow, summary
from jobs.lanes import Gate, Priority
from jobs.lanes.gates import model_of
from jobs.output import dumps, messages, print_data, print_table, say, visible
from jobs.plan import plan
from jobs.progress import shown
from jobs.result_commands import compare, results
from jobs.session import Session
from jobs.settings import Settings, load_settings
from jobs.submit import Order, Submitted

#: Rejected files that are named to people.
_REJECTS_NAMED = 10

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
batch_argument = click.argument("batch_id")


def submit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `submit` and `run` share: the charts and the question."""
    for option in reversed(
        (
            click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)),
            click.option("-p", "--prompt", help="What to ask about every chart."),
            click.option("--prompt-file", type=click.Path(path_type=Path), help="The prompt from a file (UTF-8)."),
            click.option("-m", "--model", help="Model id, org/name[:provider]; default: VISION_MODEL."),
            click.option("--param", "params", multiple=True, metavar="K=V", help="Sent along, as in max_tokens=300."),
            click.option("--name", help="A name for people."),
            click.option("--recursive/--no-recursive", default=True, show_default=True, help="Enter sub-folders."),
            click.option("--refresh", is_flag=True, help="Ask again, even where there is an answer."),
            click.option(
                "--priority",
                type=click.Choice(["high", "normal", "low"]),
                default="normal",
                show_default=True,
                help="Place among the batches of the same model.",
            ),
        )
    ):
        command = option(command)
    return command


def make_order(settings: Settings, options: dict[str, Any]) -> Order:
    """The order that the options of `submit_options` describe. Wrong ones are wrong usage."""
    try:
        if options["prompt"] is not None and options["prompt_file"] is not None:
            raise InputError("give the prompt with -p or with --prompt-file, not both")
        prompt = read_prompt_file(options["prompt_file"]) if options["prompt_file"] else options["prompt"]
        question = make_question(
            settings, prompt=prompt, model=options["model"], parameters=parse_parameters(options["params"])
        )
    except InputError as error:
        raise click.UsageError(str(error)) from None
    if question.task == "image-to-text" and prompt:
        say("HF_TASK=image-to-text: captioning models refuse a prompt, so it is not sent.")
    return Order(
        paths=options["paths"],
        question=question,
        name=options["name"],
        recursive=options["recursive"],
        refresh=options["refresh"],
        priority=cast(Priority, options["priority"]),
        chart_root=settings.chart_root,
        count_rehearsals=settings.rehearsal,
    )


def tell_rejects(done: Submitted) -> None:
    """Name what was refused: the first few, and how many more there are."""
    name_rejects(done.rejected)


def name_rejects(rejected: Sequence[dict[str, str]]) -> None:
    for reject in rejected[:_REJECTS_NAMED]:
        say(f"rejected {reject['path']!r}: {reject['error']}")
    if len(rejected) > _REJECTS_NAMED:
        say(f"... and {len(rejected) - _REJECTS_NAMED} more rejected (--json names all)")


@click.command()
@submit_options
@click.option("--dry-run", is_flag=True, help="Look and count, but write and enqueue nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Print the batch id and nothing else.")
@json_option
def submit(dry_run: bool, quiet: bool, as_json: bool, **options: Any) -> int:
    """Put a folder of charts on the queue and print the batch id.

    \b
    Example: chartq submit charts/ -p "Is the trend up or down?"
    """
    settings = load_settings()
    order = make_order(settings, options)
    with Session(settings) as session:
        if dry_run:
            return _dry_run(session, order, as_json=as_json)
        with shown(messages(), quiet=quiet or as_json) as show:
            done = session.submit(order, progress=lambda so_far: show(f"{so_far.total} charts submitted"))
    if as_json:
        print_data(dumps(done.document()))
    elif done.batch is not None:
        print_data(done.batch.batch_id)
    if not as_json and (not quiet or not done.total):
        tell_rejects(done)
        _tell_submitted(done)
    return 0 if done.total else 1


def _tell_submitted(done: Submitted) -> None:
    if done.batch is None or not done.total:
        say("no image was accepted: nothing was submitted")
        return
    say(f"{done.total} charts: {done.total - done.cached} to ask, {done.cached} answered already")
    say(f"next: chartq worker · chartq watch {done.batch.batch_id} · chartq results {done.batch.batch_id}")


def _dry_run(session: Session, order: Order, *, as_json: bool) -> int:
    planned = plan(session, order)
    if as_json:
        print_data(dumps(planned.document()))
    else:
        name_rejects(planned.rejected)
        print_data(planned.sentence())
    return 0 if planned.total else 1


@click.command("list")
@json_option
def list_batches(as_json: bool) -> int:
    """List the batches, newest first.

    \b
    Example: chartq list
    """
    with Session(load_settings()) as session:
        rows = (session.status(batch) for batch in session.ledger.batches())
        if as_json:
            for document in rows:
                print_data(dumps(document))
            return 0
        table = Table("batch", "name", "model", "status", "finished", "failed", "total", "created", box=None)
        for document in rows:
            counts = document["request_counts"]
            table.add_row(
                document["batch_id"],
                visible(document["name"] or ""),
                document["model"],
                document["status"],
                *(str(counts[state]) for state in ("finished", "failed", "total")),
                document["created_at"],
            )
        print_table(table)
    return 0


@click.command()
@click.argument("batch_or_job_id")
@json_option
def status(batch_or_job_id: str, as_json: bool) -> int:
    """Say where a batch or a job stands.

    \b
    Example: chartq status b261122-k3x9qa
    """
    with Session(load_settings()) as session:
        document = session.document(batch_or_job_id)
    if as_json:
        print_data(dumps(document))
    elif "batch_id" in document:
        print_data(visible(summary(document)))
    else:
        for name, value in document.items():
            print_data(visible(f"{name}: {value if isinstance(value, str) else dumps(value)}"))
    return 0


@click.command()
@batch_argument
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="Give up after S seconds (exit 124).")
@json_option
def wait(batch_id: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait until a batch has ended (exit 0, or 1 if jobs failed) or is on hold (exit 3).

    \b
    Example: chartq wait b261122-k3x9qa --timeout 3600
    """
    with Session(load_settings()) as session:
        code, document = follow(session, session.ledger.batch(batch_id), timeout_s=timeout_s)
    if as_json:
        print_data(dumps(document))
    else:
        say(summary(document))
    return code


@click.command()
@batch_argument
def watch(batch_id: str) -> int:
    """Watch a batch live; Ctrl-C leaves it running.

    \b
    Example: chartq watch b261122-k3x9qa
    """
    with Session(load_settings()) as session, shown(messages()) as show:
        batch = session.ledger.batch(batch_id)
        try:
            code, document = follow(session, batch, show=lambda doc: show(summary(doc)))
        except KeyboardInterrupt:
            say(f"the batch goes on without you; come back with: chartq watch {batch_id}")
            return 130
    say(summary(document))
    return code


@click.command()
@batch_argument
def retry(batch_id: str) -> int:
    """Queue again what failed, with fresh attempts.

    \b
    Example: chartq retry b261122-k3x9qa
    """
    with Session(load_settings()) as session:
        say(f"{session.retry(session.ledger.batch(batch_id))} jobs queued again")
    return 0


@click.command()
@batch_argument
def cancel(batch_id: str) -> int:
    """Cancel what has not started; what another batch still wants goes on.

    \b
    Example: chartq cancel b261122-k3x9qa
    """
    with Session(load_settings()) as session:
        say(f"{session.cancel(session.ledger.batch(batch_id))} jobs canceled")
    return 0


@click.command()
@click.argument("model_or_batch", required=False)
def resume(model_or_batch: str | None) -> int:
    """Open what is on hold (one probe goes first), and put back on the queue what Redis has lost.

    \b
    Example: chartq resume Qwen/Qwen3-VL-30B-A3B-Instruct
    """
    with Session(load_settings()) as session:
        batch, lanes = None, None
        if model_or_batch:
            with suppress(UnknownIdError):
                batch = session.ledger.batch(model_or_batch)
            lanes = {batch.question.lane} if batch else {f"{api}:{model_or_batch}" for api in ("chat", "task")}
            known = {gate.lane for gate in session.gates.all()} | set(session.queues.lanes())
            if batch is None and not lanes & known:
                raise InputError(f"{model_or_batch!r} is no batch, and no model has such a lane: see chartq lanes")
        opened, found = session.resume(lanes, batch)
    say(f"{opened} lanes opened, {found.put_back} jobs put back on the queue")
    if found.left_alone:
        say(f"{found.left_alone} jobs are in flight: if their worker is lost, another takes them over within a minute")
    return 0


@click.command()
@json_option
def lanes(as_json: bool) -> int:
    """Show each lane: may it be called for now, and if not, until when and why?

    \b
    Example: chartq lanes
    """
    with Session(load_settings()) as session:
        gates = session.gates.all(extra_lanes=session.queues.lanes())
        depths = {depth.lane: depth for depth in session.queues.depths({gate.lane for gate in gates})}
    rows = [_lane_document(gate, depths[gate.lane].queued) for gate in gates]
    if as_json:
        for row in rows:
            print_data(dumps(row))
        return 0
    table = Table("account", "lane", "state", "budget", "in flight", "queued", box=None)
    for row in rows:
        budget = ", ".join(f"{b['used']}/{b['limit']} in {duration(b['window_s'])}" for b in row["budget"])
        table.add_row(row["account"], row["lane"], _lane_state(row), budget, str(row["in_flight"]), str(row["queued"]))
    print_table(table)
    return 0


def _lane_document(gate: Gate, queued: int) -> dict[str, Any]:
    return {
        "account": gate.account,
        "lane": gate.lane,
        "model": model_of(gate.lane),
        "live": gate.live,
        "state": "on_hold" if gate.held else "closed" if gate.until_s else "open",
        "reason": gate.reason or gate.why,
        "message": gate.message,
        "since": iso(gate.since_s),
        "closed_until": iso(gate.until_s),
        "budget": [
            {"limit": w.calls, "window_s": w.window_ms / 1000, "used": spent, "left": max(0, w.calls - spent)}
            for w, spent in zip(gate.windows, gate.spent, strict=True)
        ],
        "next_permit_s": None if gate.held else round(gate.wait_s, 3),
        "concurrency": gate.limit or gate.ceiling,
        "in_flight": gate.in_flight,
        "queued": queued,
    }


def _lane_state(row: dict[str, Any]) -> str:
    if row["state"] == "on_hold":
        return f"on hold ({row['reason']}): {row['message']}"
    if row["state"] == "closed":
        return f"closed ({row['reason']}) until {row['closed_until']}"
    return "open"


PRODUCER_COMMANDS = (submit, list_batches, status, wait, watch, results, compare, retry, cancel, resume, lanes)
