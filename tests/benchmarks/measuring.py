"""One run of one system: start everything, let it warm up, watch, end everything."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import Lab, Place, StuckError, opened, wait_until
from benchmarks.programs import PeakMemory, Program
from benchmarks.queue_server import Monitor
from benchmarks.systems import PROVIDER, System

#: Beside what it would ideally take.
_PATIENCE_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run; per job where nothing else is said."""

    wall_ratio: float
    cpu_ms: float
    pss_mb: float
    round_trips: float
    redis_cpu_ms: float
    #: None where nobody watched.
    commands: float | None


@dataclass(frozen=True)
class Stretch:
    """The calls that are measured: so many, after some that warm up, before some that keep all slots full.

    It begins and ends amid a wave of calls, so that a call that comes a little sooner or later changes nothing.
    """

    jobs: int
    in_flight: int

    @property
    def first(self) -> int:
        return self.in_flight * 3 // 2

    @property
    def last(self) -> int:
        return self.first + self.jobs

    @property
    def all_jobs(self) -> int:
        return self.last + self.in_flight // 2 + 1


def timed(lab: Lab, system: System, charts: Sequence[Path], jobs: int, latency_s: float, *, watched: bool) -> Sample:
    """The same number of calls in flight from one arrival to another one, `jobs` later.

    `watched`: Redis says what it is asked, which takes some of its time.
    """
    stretch, ideal_s = Stretch(jobs, system.in_flight), jobs / system.in_flight * latency_s
    with opened(lab, provider=[*PROVIDER, str(latency_s)]) as place:
        system.send(place, "ask", charts[: stretch.all_jobs])
        with place.running(system.worker(place, "ask")) as worker:
            memory = PeakMemory(worker)
            _calls(place, "arrived", stretch.first + 1, _PATIENCE_S, worker)
            monitor = Monitor(place.redis) if watched else None
            asked, cpu_s = place.redis.asked(), worker.cpu_s()
            _calls(place, "arrived", stretch.last + 1, _PATIENCE_S + 3 * ideal_s, worker)
            after, cpu_after_s = place.redis.asked(), worker.cpu_s()
            commands = monitor.stop() / jobs if monitor else None
            _calls(place, "answered", stretch.all_jobs, _PATIENCE_S, worker)
            peak_bytes = memory.stop()
        arrived = place.look_up("/times")["arrived"]
    if len(arrived) != stretch.all_jobs:
        raise StuckError(f"{len(arrived)} calls for {stretch.all_jobs} jobs")
    return Sample(
        wall_ratio=(arrived[stretch.last] - arrived[stretch.first]) / ideal_s,
        cpu_ms=(cpu_after_s - cpu_s) * 1000 / jobs,
        pss_mb=peak_bytes / 1e6,
        round_trips=(after.reads - asked.reads) / jobs,
        redis_cpu_ms=(after.cpu_s - asked.cpu_s) * 1000 / jobs,
        commands=commands,
    )


def noop_rate(lab: Lab, system: System, charts: Sequence[Path], jobs: int) -> float:
    """Jobs per second that do nothing, once the first tenth of them is done."""
    warm = jobs // 10
    with opened(lab, provider=[*PROVIDER, "0"]) as place:
        system.send(place, "noop", charts[: warm + jobs])
        with place.running(system.worker(place, "noop")) as worker:
            wait_until(lambda: _ticks(place) >= warm + jobs, within_s=_PATIENCE_S, program=worker)
        times = array("d", place.ticks.read_bytes())
    return jobs / (times[warm + jobs - 1] - times[warm - 1])


def _ticks(place: Place) -> int:
    return place.ticks.stat().st_size // array("d").itemsize if place.ticks.exists() else 0


def _calls(place: Place, what: str, count: int, within_s: float, program: Program) -> None:
    """Wait for so many of the provider's `arrived` or `answered`."""
    wait_until(lambda: place.look_up("/counts")[what] >= count, within_s=within_s, program=program)
