"""`make chaos ARGS="--minutes 20"`: see docs/chaos.md."""

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from chaos.run import run
from chaos.scene import Plan
from chaos.soak import soak

#: A run of minutes is less dense, so that work gets done in between.
LONG: Mapping[str, Any] = {"fault_every_s": 7.0, "wish_every_s": 6.0, "charts_each": 50}


@click.command()
@click.option("--minutes", type=float, help="How long things go wrong; without it a quarter of a minute, densely.")
@click.option("--seed", type=int, help="The same seed, the same faults at the same times; without it any.")
@click.option("--workers", default=3, show_default=True)
@click.option("--in-flight", default=8, show_default=True, help="Calls in flight of each worker.")
@click.option("--store", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="A new folder for all that the run leaves behind.")
@click.option("--soak", "soak_jobs", is_flag=False, flag_value=100_000, type=int, metavar="[JOBS]")
def main(
    minutes: float | None,
    seed: int | None,
    workers: int,
    in_flight: int,
    store: str,
    keep: Path | None,
    soak_jobs: int | None,
) -> None:
    """Let everything go wrong for a while, then see whether every promise was kept.

    --soak: nothing goes wrong, but there is much to do; two workers with 64 calls in flight each.
    """
    if not Path("/proc/self/statm").exists():
        raise click.ClickException("the chaos run reads /proc: it runs on Linux only")
    if keep and keep.exists():
        raise click.ClickException(f"{keep} is there already: two runs in one folder would spoil each other")
    with tempfile.TemporaryDirectory(prefix="chartq-chaos-", ignore_cleanup_errors=True) as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if soak_jobs:
            report = soak(folder.resolve(), jobs=soak_jobs, workers=2, in_flight=64)
        else:
            plan = Plan(
                seed=int(time.time()) if seed is None else seed, workers=workers, in_flight=in_flight, store=store
            )
            report = run(plan if minutes is None else replace(plan, seconds=minutes * 60, **LONG), folder.resolve())
        print(report.text(), flush=True)
    sys.exit(not report.holds)


if __name__ == "__main__":
    main()
