"""`chartq health`: do the workers of this home on this machine get on, and do Redis and the results store answer?

Made for health checks of containers: it starts nothing, changes nothing, and ends within seconds.
`python -m worker.health` is the same without the other commands' libraries.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from jobs.cli.output import dumps
from jobs.config.settings import Settings, producer_settings
from jobs.core.errors import SettingsError
from worker.monitoring.liveness import beating

#: Oldest turn of a loop that passes for alive. A turn that waits for a lock of the store takes up to a minute.
MAX_AGE_S = 90.0

#: Seconds that Redis and the store get to answer, each.
_LIMIT_S = 4.0


@dataclass(frozen=True)
class Sign:
    """What was looked at, whether it lives, and what is known."""

    name: str
    ok: bool
    message: str


@click.command()
@click.option(
    "--max-age",
    "max_age_s",
    type=click.FloatRange(min=0.1),
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
        click.echo(dumps({"ok": ok, "checks": [asdict(sign) for sign in signs]}))
    else:
        for sign in signs:
            click.echo(f"{'ok  ' if sign.ok else 'FAIL'} {sign.name}: {sign.message}")
    return 0 if ok else 1


def look(settings: Settings, *, max_age_s: float, local: bool = False) -> Iterator[Sign]:
    """What is to be known, each sign as soon as it is."""
    yield look_at_workers(settings.chartq_home, max_age_s=max_age_s)
    if not local:
        from worker.monitoring.checks.alive import look_at_redis, look_at_store  # half a second of libraries

        yield Sign("redis", *look_at_redis(settings, limit_s=_LIMIT_S))
        yield Sign("store", *look_at_store(settings, limit_s=_LIMIT_S))


def look_at_workers(home: Path, *, max_age_s: float) -> Sign:
    """Whether a worker runs here, and none hangs."""
    workers = beating(home)
    if not workers:
        return Sign("worker", False, "none runs here")
    told = ", ".join(f"process {worker.pid} turned {worker.age_s:.1f} s ago" for worker in workers)
    return Sign("worker", all(worker.age_s <= max_age_s for worker in workers), told)


def main() -> None:
    """`python -m worker.health`."""
    try:
        sys.exit(health.main(standalone_mode=False))
    except (click.ClickException, SettingsError) as error:
        click.echo(f"chartq: {error.format_message() if isinstance(error, click.ClickException) else error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
