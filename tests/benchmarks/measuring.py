"""One run of one system: start everything, let it warm up, watch, end everything."""

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import Lab, Place, StuckError, opened, wait_until
from benchmarks.programs import PeakMemory, Program
from benchmarks.queue_server import Monitor
from benchmarks.systems import PROVIDER, System

#: After the last answer, until a worker has written everything down.
_SETTLE_S = 1.0

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


def warming(system: System) -> int:
    """Calls before the clock runs: a wave and a half, so that it starts amid a wave whether or not one call is early."""
    return system.in_flight * 3 // 2


def timed(lab: Lab, system: System, charts: Sequence[Path], jobs: int, latency_s: float) -> Sample:
    """From the arrival of the first call after the warming ones, to the last answer."""
    warm, ideal_s = warming(system), jobs / system.in_flight * latency_s
    with opened(lab, provider=[*PROVIDER, str(latency_s)]) as place:
        system.send(place, "ask", charts[: warm + jobs])
        with place.running(system.worker(place, "ask")) as worker:
            memory = PeakMemory(worker)
            _calls(place, "arrived", warm + 1, _PATIENCE_S, worker)
            asked, cpu_s = place.redis.asked(), worker.cpu_s()
            _calls(place, "answered", warm + jobs, _PATIENCE_S + 3 * ideal_s, worker)
            time.sleep(_SETTLE_S)
            after, cpu_after_s = place.redis.asked(), worker.cpu_s()
            peak_bytes = memory.stop()
        times = place.look_up("/times")
    if len(times["arrived"]) != warm + jobs:
        raise StuckError(f"{len(times['arrived'])} calls for {warm + jobs} jobs")
    return Sample(
        wall_ratio=(max(times["answered"]) - times["arrived"][warm]) / ideal_s,
        cpu_ms=(cpu_after_s - cpu_s) * 1000 / jobs,
        pss_mb=peak_bytes / 1e6,
        round_trips=(after.reads - asked.reads) / jobs,
        redis_cpu_ms=(after.cpu_s - asked.cpu_s) * 1000 / jobs,
    )


def commands_of(lab: Lab, system: System, charts: Sequence[Path], jobs: int, latency_s: float) -> float:
    """Commands a job that the worker sends; in a run of their own, since watching takes time."""
    warm = warming(system)
    with opened(lab, provider=[*PROVIDER, str(latency_s)]) as place:
        system.send(place, "ask", charts[: warm + jobs])
        with place.running(system.worker(place, "ask")) as worker:
            _calls(place, "arrived", warm + 1, _PATIENCE_S, worker)
            monitor = Monitor(place.redis)
            _calls(place, "answered", warm + jobs, _PATIENCE_S * 2, worker)
            time.sleep(_SETTLE_S)
            return monitor.stop() / jobs


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
