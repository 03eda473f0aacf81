"""`chartq health`. `python -m worker.health` is the same without the other commands' libraries."""

import sys

import click

from jobs.cli.values import Number
from jobs.config.settings import producer_settings
from jobs.core.errors import SettingsError
from jobs.core.text import dumps, one_line
from worker.monitoring.health import MAX_AGE_S, look


@click.command()
@click.option(
    "--max-age",
    "max_age_s",
    type=Number(min=0.1),
    default=MAX_AGE_S,
    show_default=True,
    metavar="S",
    help="Seconds after which a loop that has not turned counts as hanging.",
)
@click.option("--local", is_flag=True, help="Look at the loop only: for probes that restart what is unhealthy.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout and nothing else.")
def health(max_age_s: float, local: bool, as_json: bool) -> int:
    """Tell whether this machine's workers, Redis and the results store are alive; exit code 1 if not.

    \b
    Example: chartq health --max-age 60
    """
    signs = list(look(producer_settings(), max_age_s=max_age_s, local=local))
    ok = all(sign.ok for sign in signs)
    if as_json:
        checks = [{"name": sign.name, "ok": sign.ok, "message": sign.message} for sign in signs]
        click.echo(dumps({"ok": ok, "checks": checks}))
    else:
        for sign in signs:
            click.echo(f"{'ok  ' if sign.ok else 'FAIL'} {sign.name}: {one_line(sign.message)}")
    return 0 if ok else 1


def main() -> None:
    """`python -m worker.health`."""
    try:
        sys.exit(health.main(standalone_mode=False))
    except (click.ClickException, SettingsError) as error:
        click.echo(f"chartq: {error.format_message() if isinstance(error, click.ClickException) else error}", err=True)
        sys.exit(2)
