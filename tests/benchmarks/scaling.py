"""(d) More workers on the same work: how the time falls, and whether every chart is still asked about once."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Stretch
from benchmarks.place import Lab, opened, wait_until
from benchmarks.systems import PROVIDER, Chartq
from benchmarks.table import Table, say

_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """For each number of workers as many jobs as make so many calls in each slot."""

    waves: int
    in_flight: int
    latency_s: float
    workers: Sequence[int]

    def stretch(self, workers: int) -> Stretch:
        in_flight = self.in_flight * workers
        return Stretch(jobs=self.waves * in_flight, in_flight=in_flight)


def scale(lab: Lab, plan: Scaling, charts: Sequence[Path]) -> Table:
    rows = []
    for workers in plan.workers:
        rows.append(_row(lab, plan, charts, workers))
        say(f"  {rows[-1]}")
    columns = (
        "workers",
        "in flight",
        "jobs",
        "seconds",
        "wall / ideal",
        "jobs/s",
        "worker CPU ms a job",
        "calls a job",
    )
    return Table(columns, rows)


def _row(lab: Lab, plan: Scaling, charts: Sequence[Path], workers: int) -> list[str]:
    system, stretch = Chartq("chartq", plan.in_flight), plan.stretch(workers)
    ideal_s = plan.waves * plan.latency_s
    within_s = _PATIENCE_S + 3 * ideal_s
    with opened(lab, provider=[*PROVIDER, str(plan.latency_s)]) as place, ExitStack() as running:
        system.send(place, "ask", charts[:1])
        programs = [running.enter_context(place.running(system.worker(place, "ask"))) for _ in range(workers)]
        wait_until(lambda: all("started" in one.said() for one in programs), within_s=_PATIENCE_S)
        system.send(place, "ask", charts[1 : stretch.all_jobs])
        wait_until(lambda: place.look_up("/counts")["arrived"] > stretch.first, within_s=within_s)
        cpu_s = sum(one.cpu_s() for one in programs)
        wait_until(lambda: place.look_up("/counts")["arrived"] > stretch.last, within_s=within_s)
        spent_s = sum(one.cpu_s() for one in programs) - cpu_s
        wait_until(lambda: place.look_up("/counts")["answered"] >= stretch.all_jobs, within_s=within_s)
        arrived = place.look_up("/times")["arrived"]
    took_s = arrived[stretch.last] - arrived[stretch.first]
    return [
        str(workers),
        str(stretch.in_flight),
        f"{stretch.jobs:,}",
        f"{took_s:.1f}",
        f"{took_s / ideal_s:.3f}",
        f"{stretch.jobs / took_s:.0f}",
        f"{spent_s * 1000 / stretch.jobs:.2f}",
        f"{len(arrived) / stretch.all_jobs:.3f}",
    ]
