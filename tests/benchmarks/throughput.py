"""(a) What a job costs, beside others: the same calls, all in flight at once, in turns within one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measuring import Sample, noop_rate, timed
from benchmarks.pictures import costs
from benchmarks.place import Lab, StuckError
from benchmarks.systems import Pool, System, side_by_side
from benchmarks.table import Table, say
from benchmarks.venvs import ROOT
from worker.cli.demo_command import CHARTS


@dataclass(frozen=True, kw_only=True)
class Load:
    """The work of one run."""

    jobs: int
    latency_s: float
    noop_jobs: int
    rounds: int
    in_flight: int
    rq_processes: int


@dataclass(frozen=True)
class Measured:
    """A system and all that was found out about it."""

    system: System
    #: By round.
    samples: dict[int, Sample]
    noop_per_s: list[float]


def compare(lab: Lab, load: Load, charts: Sequence[Path], only: Sequence[str]) -> Table:
    """Every system in every round; the order turns."""
    systems = side_by_side(load.in_flight, load.rq_processes)
    wanted = [system for system in systems if not only or any(word in system.name for word in only)]
    found = [Measured(system, {}, []) for system in wanted]
    for number in range(load.rounds):
        turn = number % len(found)
        for one in found[turn:] + found[:turn]:
            try:
                _one_round(lab, load, charts, one, number)
            except StuckError as error:
                say(f"  {one.system.name}: {error}")
    return _table(found, [_about_pictures(charts[0])])


def _about_pictures(noise: Path) -> str:
    noise_ms, *drawn_ms = (ms for ms, _ in costs(ROOT, [noise, *sorted(CHARTS.rglob("*.png"))]))
    return (
        f"chartq prepares every picture before it is sent, which no peer does: {noise_ms:.1f} ms for this noise, "
        f"{median(drawn_ms):.1f} ms for a drawn chart (median of the PNG samples)."
    )


def _one_round(lab: Lab, load: Load, charts: Sequence[Path], one: Measured, number: int) -> None:
    # RQ has fewer jobs in flight, hence gets fewer, so that every system works for the same time.
    jobs, noops = (count * one.system.in_flight // load.in_flight for count in (load.jobs, load.noop_jobs))
    one.samples[number] = timed(lab, one.system, charts, jobs, load.latency_s, watched=number == 0)
    say(f"  {one.system.name}: {one.samples[number]}")
    if not isinstance(one.system, Pool):
        one.noop_per_s.append(noop_rate(lab, one.system, charts, noops))
        say(f"  {one.system.name}: {one.noop_per_s[-1]:.0f} no-op jobs/s")


def _table(found: Sequence[Measured], below: Sequence[str]) -> Table:
    columns = (
        "system", "wall / ideal", "worker CPU ms a job", "over the floor", "memory (PSS) MB",
        "Redis commands / round trips a job", "Redis CPU ms a job", "no-op jobs/s",
    )  # fmt: skip
    floor = next((one.samples for one in found if isinstance(one.system, Pool)), {})
    return Table(columns, [_row(one, floor) for one in found], below)


def _row(one: Measured, floor: Mapping[int, Sample]) -> list[str]:
    if not one.samples:
        return [one.system.name, "did not finish", *[""] * 6]
    queued = not isinstance(one.system, Pool)
    # The difference within each round: what else the machine does changes from round to round.
    over = [one.samples[number].cpu_ms - floor[number].cpu_ms for number in one.samples.keys() & floor.keys()]
    commands = next((sample.commands for sample in one.samples.values() if sample.commands is not None), 0.0)
    return [
        one.system.name,
        f"{_of(one, 'wall_ratio'):.3f}",
        f"{_of(one, 'cpu_ms'):.2f}",
        f"{median(over):+.2f}" if over and queued else "-",
        f"{_of(one, 'pss_mb'):.0f}",
        f"{commands:.1f} / {_of(one, 'round_trips'):.1f}" if queued else "-",
        f"{_of(one, 'redis_cpu_ms'):.2f}" if queued else "-",
        f"{median(one.noop_per_s):.0f}" if one.noop_per_s else "-",
    ]


def _of(one: Measured, name: str) -> float:
    return float(median(getattr(sample, name) for sample in one.samples.values()))
