"""Options that several of the worker's commands share."""

import click

concurrency_option = click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=16, show_default=True, help="Calls in flight at most."
)
grace_option = click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that running calls get to end after Ctrl-C or SIGTERM.",
)
