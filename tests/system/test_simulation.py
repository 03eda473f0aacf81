"""Whole folders on a fast clock: budgets that are known, restarts in between, limits that nobody told."""

import random
import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from redis import Redis
from support.lanes import HOUR_S, Lanes, end_redis
from support.simulation import FixedWindows, Provider, Simulation, SlidingWindow

from jobs.broker.embedded import embedded_redis

#: A permit counts for so much longer than an hour.
GUARD_S = 1

# A known budget -----------------------------------------------------------------------------------------


PROVIDERS: dict[str, Callable[[int], Provider]] = {
    "fixed": lambda now_ms: FixedWindows(30, 3_600_000, phase_ms=now_ms - 1_234_567),
    "sliding": lambda _now_ms: SlidingWindow(30, 3_600_000),
}


def thousand_charts(lanes: Lanes, kind: str) -> Simulation:
    lanes.submit(1000)
    return Simulation(
        lanes, PROVIDERS[kind](lanes.clock.now_ms), workers=4, threads=8, limits="30/h", latency_s=(2.0, 5.0)
    )


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_thousand_charts_at_thirty_an_hour_take_34_hours_and_not_one_call_is_refused(redis: Redis, kind: str) -> None:
    simulation = thousand_charts(Lanes(redis), kind)
    simulation.run(1000)
    assert simulation.refusals == 0
    assert simulation.calls == len(simulation.answered) == 1000
    assert simulation.took_s <= 34 * HOUR_S


@pytest.mark.parametrize("kind", PROVIDERS)
def test_restarts_of_workers_and_of_redis_in_between_change_nothing(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        socket = stack.enter_context(embedded_redis(tmp_path))
        redis = stack.enter_context(closing(Redis(unix_socket_path=str(socket))))

        def restart_redis() -> None:
            end_redis(redis, socket, signal.SIGKILL)
            assert stack.enter_context(embedded_redis(tmp_path)) == socket

        simulation = thousand_charts(Lanes(redis), kind)
        simulation.at_hour(3.5, simulation.restart)
        simulation.at_hour(9.5, restart_redis)
        simulation.at_hour(while_calls_run(12), simulation.kill)
        simulation.at_hour(while_calls_run(15), restart_redis)
        simulation.at_hour(while_calls_run(17), simulation.restart)
        simulation.run(1000)
    assert simulation.refusals == 0
    assert 1000 <= simulation.calls <= 1000 + 2 * 8, "only calls that were lost with their worker are repeated"
    assert simulation.took_s <= 34 * HOUR_S


def while_calls_run(window: int) -> float:
    """The hour at which this window has been open for two seconds."""
    return window + (window * GUARD_S + 2) / HOUR_S


# An unknown limit ---------------------------------------------------------------------------------------


def hundred_charts(redis: Redis, *, hints: bool, phase_ms: int) -> Simulation:
    lanes = Lanes(redis)
    lanes.submit(100)
    provider = FixedWindows(30, 5000, phase_ms=lanes.clock.now_ms - phase_ms)
    simulation = Simulation(lanes, provider, workers=3, threads=8, latency_s=(0.25, 0.35), hints=hints, seed=phase_ms)
    simulation.run(100)
    assert len(simulation.answered) == len(set(simulation.answered)) == 100
    return simulation


PHASES_MS = range(0, 5000, 500)

#: With less than this left, what is the rest of the provider's window good for? The first call goes alone, 24 follow.
SHORT_MS = 1000


@pytest.mark.parametrize("phase_ms", PHASES_MS)
def test_an_unknown_limit_costs_thirty_refused_calls_where_the_provider_gives_hints(
    redis: Redis, phase_ms: int
) -> None:
    simulation = hundred_charts(redis, hints=True, phase_ms=phase_ms)
    assert simulation.refusals <= 30
    windows = 3 if 5000 - phase_ms > SHORT_MS else 4
    assert simulation.took_s <= 1.25 * (windows * 5 - phase_ms / 1000 + 0.3)


@pytest.mark.parametrize("phase_ms", PHASES_MS)
def test_an_unknown_limit_costs_forty_five_refused_calls_where_it_gives_none(redis: Redis, phase_ms: int) -> None:
    simulation = hundred_charts(redis, hints=False, phase_ms=phase_ms)
    assert simulation.refusals <= 45
    assert simulation.took_s <= 60


@pytest.mark.parametrize(("charts", "seed"), [(100, 1), (122, 0), (122, 1)])
def test_an_unknown_hourly_limit_without_hints_fails_no_chart(redis: Redis, charts: int, seed: int) -> None:
    """Whoever probes a window that is used up is refused for an hour: that is no fault of its own."""
    lanes = Lanes(redis)
    lanes.submit(charts)
    phase_ms = lanes.clock.now_ms - random.Random(seed).randrange(3_600_000)
    provider = FixedWindows(30, 3_600_000, phase_ms=phase_ms)
    simulation = Simulation(lanes, provider, workers=1, threads=16, latency_s=(3.0, 7.0), hints=False, seed=seed)
    simulation.run(charts)
    assert simulation.failed == []
    assert simulation.took_s < 6 * HOUR_S
