"""Options that several of the worker's commands share."""

from collections.abc import Callable
from typing import Any

import click

concurrency_option = click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=16, show_default=True, help="Calls in flight at most."
)


def grace_option(default_s: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How long running calls get when somebody wants to leave."""
    return click.option(
        "--grace",
        "grace_s",
        type=click.FloatRange(min=0),
        default=default_s,
        show_default=True,
        metavar="S",
        help="Seconds that running calls get to end after Ctrl-C or SIGTERM.",
    )
