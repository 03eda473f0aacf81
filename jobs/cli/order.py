"""From what is typed to an order: the options that `submit`, `run` and `rehearse` share, and what they describe."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import click

from jobs.charts.folder_walk import REQUESTS_SUFFIXES
from jobs.charts.image_check import IMAGE_SUFFIXES
from jobs.cli.output import say
from jobs.cli.values import Count, GivenPath
from jobs.config.settings import Settings
from jobs.core.errors import InputError
from jobs.core.failure_limit import SHARE_FROM, FailureLimit
from jobs.core.job import Question
from jobs.lanes import Priority
from jobs.ledger import Batch, Ledger
from jobs.submit.answers import AnswersOf, names_in_answers
from jobs.submit.batch_file import BatchFile, is_batch_file, look_at
from jobs.submit.folder import ChartFiles
from jobs.submit.question import (
    MAX_SIDE,
    MIN_SIDE,
    make_question,
    parse_parameters,
    picture_limits,
    read_prompt_file,
    stage_question,
)
from jobs.submit.source import Source
from jobs.submit.submit import Order, check_name
from jobs.submit.template import Template

#: Options that the lines of a requests file set themselves.
_SET_BY_LINES = (("prompt", "-p"), ("prompt_file", "--prompt-file"), ("params", "--param"), ("schema", "--schema"))


def submit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `submit` and `run` share: the charts and the question."""
    for option in reversed(
        (
            click.argument("paths", nargs=-1, metavar="PATH...", type=GivenPath()),
            click.option("-p", "--prompt", help="What to ask about every chart."),
            click.option("--prompt-file", type=GivenPath(), help="The prompt from a file (UTF-8)."),
            click.option("-m", "--model", help="Model id, org/name[:provider]; default: VISION_MODEL."),
            click.option("--param", "params", multiple=True, metavar="K=V", help="Sent along, as in max_tokens=300."),
            click.option("--schema", metavar="FILE|chart", help="Answers are JSON that fits this JSON schema."),
            click.option(
                "--max-side",
                type=click.IntRange(MIN_SIDE, MAX_SIDE),
                metavar="PX",
                help="Pixels of a picture's longer side, as it is sent; default: IMAGE_MAX_SIDE.",
            ),
            click.option("--name", help="A name for people."),
            click.option("--recursive/--no-recursive", default=True, show_default=True, help="Enter sub-folders."),
            click.option("--refresh", is_flag=True, help="Ask again, even where there is an answer."),
            click.option(
                "--sample",
                type=Count(),
                metavar="N",
                help="Ask N charts first, spread over all; the same command without it asks the rest.",
            ),
            click.option(
                "--max-failures",
                metavar="N|P%",
                help=f"Put the batch on hold when N charts have failed, or P % of those that ended "
                f"(from {SHARE_FROM} on).",
            ),
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
    if not options["paths"]:
        raise click.UsageError("Missing argument 'PATH...'.")
    source = _batch_file(settings, options) or _chart_files(settings, options)
    return _order(settings, source, options)


def make_stage(
    settings: Settings, ledger: Ledger, batch: Batch, options: dict[str, Any], *, with_image: bool = False
) -> Order:
    """The order for a question about each of the batch's answers. Wrong options are wrong usage."""
    try:
        question = stage_question(
            settings,
            template=_prompt(options),
            model=options["model"],
            parameters=parse_parameters(options["params"]),
            schema=options["schema"],
            with_image=with_image,
            max_side=options["max_side"],
        )
        source = AnswersOf(ledger=ledger, batch=batch, question=question, with_image=with_image)
        source.template  # noqa: B018 (reading it is the check)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    return replace(_order(settings, source, options), source_batch=batch.batch_id)


def check_stage(settings: Settings, order: Order, *, template: str, model: str | None) -> None:
    """Wrong usage is told before anything is asked: no question, or one about what no answer to the order's has."""
    try:
        stage_question(settings, template=template, model=model, parameters={})
        Template.parse(template, known=names_in_answers(order.question))
    except InputError as error:
        raise click.UsageError(f"--then: {error}") from None


def _order(settings: Settings, source: Source, options: dict[str, Any]) -> Order:
    try:
        max_failures = FailureLimit.parse(options["max_failures"]) if options["max_failures"] is not None else None
        name = check_name(options["name"])
    except InputError as error:
        raise click.UsageError(str(error)) from None
    return Order(
        source=source,
        name=name,
        refresh=options["refresh"],
        priority=cast(Priority, options["priority"]),
        count_rehearsals=settings.rehearsal,
        max_failures=max_failures,
    )


def _chart_files(settings: Settings, options: dict[str, Any]) -> ChartFiles:
    return ChartFiles(
        paths=options["paths"],
        question=_question(settings, options),
        recursive=options["recursive"],
        chart_root=settings.chart_root,
        sample=options["sample"],
    )


def _batch_file(settings: Settings, options: dict[str, Any]) -> BatchFile | None:
    """The batch file, if that is what the only PATH is. Options that its lines set themselves are wrong usage."""
    path, *others = options["paths"]
    if others or not is_batch_file(path):
        return None
    for name, option in _SET_BY_LINES:
        if options[name]:
            raise click.UsageError(f"{option} and a requests file: its lines say that themselves")
    if options["sample"] is not None:
        raise click.UsageError("--sample is for folders: a requests file is asked as it stands")
    return look_at(
        path,
        model=options["model"],
        chart_root=settings.chart_root,
        limits=picture_limits(settings, options["max_side"]),
    )


def _prompt(options: dict[str, Any]) -> str | None:
    """As typed, or from its file. Raises InputError."""
    if options["prompt"] is not None and options["prompt_file"] is not None:
        raise InputError("give the prompt with -p or with --prompt-file, not both")
    return read_prompt_file(options["prompt_file"]) if options["prompt_file"] else options["prompt"]


def _question(settings: Settings, options: dict[str, Any]) -> Question:
    try:
        prompt = _prompt(options)
        question = make_question(
            settings,
            prompt=prompt,
            model=options["model"],
            parameters=parse_parameters(options["params"]),
            schema=options["schema"],
            max_side=options["max_side"],
        )
    except InputError as error:
        raise click.UsageError(f"{error}{_if_meant_as_requests(options)}") from None
    if question.task == "image-to-text" and prompt:
        say("HF_TASK=image-to-text: captioning models refuse a prompt, so it is not sent.")
    return question


def _if_meant_as_requests(options: dict[str, Any]) -> str:
    """Of a single file without a question: that its name is not of those whose lines ask."""
    path, *others = options["paths"]
    asks = any(options[name] for name, _option in _SET_BY_LINES)
    if others or asks or not os.path.isfile(path) or path.suffix.lower() in IMAGE_SUFFIXES:
        return ""
    return f". If {str(path)!r} has requests: name it {' or '.join(f'{path.stem}{one}' for one in REQUESTS_SUFFIXES)}"
