"""(d) More workers on the same work: how the time falls, and whether every chart is still asked about once."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import Lab, opened, wait_until
from benchmarks.systems import PROVIDER, Chartq
from benchmarks.table import Table, say

_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The same work for each number of workers."""

    jobs: int
    in_flight: int
    latency_s: float
    workers: Sequence[int]


def scale(lab: Lab, plan: Scaling, charts: Sequence[Path]) -> Table:
    rows = []
    for workers in plan.workers:
        rows.append(_row(lab, plan, charts, workers))
        say(f"  {rows[-1]}")
    columns = ("workers", "in flight", "seconds", "wall / ideal", "jobs/s", "worker CPU ms a job", "calls a job")
    return Table(columns, rows)


def _row(lab: Lab, plan: Scaling, charts: Sequence[Path], workers: int) -> list[str]:
    """The workers run already and have had a wave of calls each when the batch is submitted."""
    system, warm = Chartq("chartq", plan.in_flight), plan.in_flight * workers
    ideal_s = plan.jobs / warm * plan.latency_s
    with opened(lab, provider=[*PROVIDER, str(plan.latency_s)]) as place, ExitStack() as running:
        system.send(place, "ask", charts[:1])
        programs = [running.enter_context(place.running(system.worker(place, "ask"))) for _ in range(workers)]
        wait_until(lambda: all("started" in one.said() for one in programs), within_s=_PATIENCE_S)
        system.send(place, "ask", charts[1:warm])
        wait_until(lambda: place.look_up("/counts")["answered"] >= warm, within_s=_PATIENCE_S)
        cpu_s = sum(one.cpu_s() for one in programs)
        system.send(place, "ask", charts[warm : warm + plan.jobs])
        within_s = _PATIENCE_S + 3 * ideal_s
        wait_until(lambda: place.look_up("/counts")["answered"] >= warm + plan.jobs, within_s=within_s)
        spent_s = sum(one.cpu_s() for one in programs) - cpu_s
        times = place.look_up("/times")
    took_s = max(times["answered"]) - times["arrived"][warm]
    return [
        str(workers),
        str(warm),
        f"{took_s:.1f}",
        f"{took_s / ideal_s:.3f}",
        f"{plan.jobs / took_s:.0f}",
        f"{spent_s * 1000 / plan.jobs:.2f}",
        f"{(len(times['arrived']) - warm) / plan.jobs:.3f}",
    ]
