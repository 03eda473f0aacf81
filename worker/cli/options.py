"""Options that several of the worker's commands share."""

import click

from jobs.cli.values import Number

#: More (11 days) is more than the clocks of some systems can wait for.
_MAX_GRACE_S = 1_000_000

concurrency_option = click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=16, show_default=True, help="Calls in flight at most."
)
grace_option = click.option(
    "--grace",
    "grace_s",
    type=Number(0, _MAX_GRACE_S),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds that running calls get to end after Ctrl-C or SIGTERM.",
)
