"""`chartq models`: is a model served, by whom, does it take images, at what price."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from jobs.cli.console import print_table
from jobs.cli.options import json_option
from jobs.cli.output import print_data, say
from jobs.core.text import MESSAGE_CHARS, dumps, label, one_line
from worker.hf.advice import dollars, price_text, what_to_do
from worker.hf.catalogue import ModelInfo
from worker.hf.client import HuggingFaceClient
from worker.hf.errors import HFAPIError
from worker.hf.from_settings import client_config, worker_settings

#: Models of a list for people: more than Hugging Face serves.
_MOST_MODELS = 500


@click.command()
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="List those that take no images or have no live provider too.")
@json_option
def models(model: str | None, everything: bool, as_json: bool) -> int:
    """Is MODEL served, by whom, does it take images, at what price? Without MODEL: all vision models.

    Prices are US dollars per million tokens. With --json the list has one object a line.

    \b
    Example: chartq models Qwen/Qwen3-VL-30B-A3B-Instruct
    """
    config = client_config(worker_settings())
    try:
        with HuggingFaceClient(config) as client:
            if model is not None:
                return _show_one(client.model_info(model), as_json=as_json)
            if config.api == "task":  # its servers have a page per model and no list
                say("chartq: HF_API=task has no list of models; ask about one: chartq models MODEL")
                return 1
            return _show_list(client.list_models(), everything=everything, as_json=as_json)
    except HFAPIError as error:
        say(f"chartq: {error}. {what_to_do(error, config)}")
        return 1


def document(info: ModelInfo) -> dict[str, Any]:
    """A model as `--json` shows it; null: not told."""
    price = None
    if best := info.cheapest:
        usd = {"input_usd_per_m": best.input_usd_per_m, "output_usd_per_m": best.output_usd_per_m}
        price = {"provider": best.name, **usd}
    return {
        "model": info.id,
        "served": info.served,
        "note": info.note or None,
        "takes_images": info.takes_images,
        "context_length": info.context_length,
        "structured_output": info.structured_output,
        "price": price,
        "providers": [asdict(provider) for provider in info.providers],
    }


def _show_one(info: ModelInfo, *, as_json: bool) -> int:
    if as_json:
        print_data(dumps(document(info)))
    elif info.served:
        _print_one(info)
    if info.served:
        return 0
    why = info.note or "the server gives no reason"
    say(f"chartq: {label(info.id)} is not served: {one_line(why, MESSAGE_CHARS)}. What is: chartq models")
    return 1


def _print_one(info: ModelInfo) -> None:
    facts = {
        "model": label(info.id),
        "served": "yes" + (f" ({info.note})" if info.note else ""),
        "takes images": _yes_no(info.takes_images),
        "price from": price_text(info.cheapest) or "?",
        "context": _number(info.context_length),
        "structured output": _yes_no(info.structured_output),
    }
    for name, value in facts.items():
        print_data(f"{name}: {one_line(value, MESSAGE_CHARS)}")
    if not info.providers:
        return
    print_data("")
    table = Table("provider", "status", "in $/M", "out $/M", "context", "structured output", box=None)
    for provider in info.providers:
        table.add_row(
            _cell(provider.name),
            _cell(provider.status),
            dollars(provider.input_usd_per_m),
            dollars(provider.output_usd_per_m),
            _number(provider.context_length),
            _yes_no(provider.structured_output),
        )
    print_table(table)


def _show_list(found: Iterable[ModelInfo], *, everything: bool, as_json: bool) -> int:
    """Most servers don't tell whether a model takes images: those stay in the list."""
    wanted = [info for info in found if everything or (info.served and info.takes_images is not False)]
    wanted.sort(key=_by_price)
    if not wanted:
        say("the server lists no model that takes images; all that it lists: chartq models --all")
    elif as_json:
        for info in wanted:
            print_data(dumps(document(info)))
    else:
        _print_list(wanted)
    return 0


def _print_list(found: Sequence[ModelInfo]) -> None:
    table = Table(box=None)
    table.add_column("model", overflow="fold")  # an id that is cut can't be copied, if it can be asked for at all
    for name in ("images", "in $/M", "out $/M", "context", "providers"):
        table.add_column(name)
    for info in found[:_MOST_MODELS]:
        cheapest = info.cheapest
        table.add_row(
            _cell(info.id),
            _yes_no(info.takes_images),
            dollars(cheapest.input_usd_per_m if cheapest else None),
            dollars(cheapest.output_usd_per_m if cheapest else None),
            _number(info.context_length),
            _cell(", ".join(info.live_names)),
        )
    print_table(table)
    if len(found) > _MOST_MODELS:
        say(f"... and {len(found) - _MOST_MODELS:,} more, dearer or of unknown price (--json has all)")


def _cell(text: str) -> Text:
    """A server's words, in a line: no terminal obeys them, and brackets are no markup."""
    return Text(label(text))


def _by_price(info: ModelInfo) -> tuple[float, str]:
    """Cheapest first; those without a price last."""
    price = info.cheapest.input_usd_per_m if info.cheapest else None
    return (float("inf") if price is None else price, info.id)


def _yes_no(value: bool | None) -> str:
    return "?" if value is None else "yes" if value else "no"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
