"""A few charts that never get an answer, whatever is asked: they fail, and hold nobody else up.

`python tests/system/test_bad_charts.py` prints the table of docs/outages.md.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pytest
from redis import Redis
from support.lanes import Lanes, Worker, running_redis
from support.simulation import Simulation

from worker.engine.exchange import Lease, Settlement
from worker.engine.lane_client import HEARTBEAT_S

CHARTS, IN_FLIGHT, ANSWER_S = 100, 16, 1.0

#: RETRY_DELAY; the upper half of a back-off is drawn by lot.
RETRY_DELAY_S = 2.0

#: Kind of failure -> seconds until a call fails; of several, each bad chart has one. To the gate they are alike.
KINDS = {
    "500 at once": (0.01,),
    "502 after 2 s": (2.0,),
    "time-out of 45 s": (45.0,),
    "dropped after 0.3 s": (0.3,),
    "a mix": (0.01, 2.0, 45.0, 0.3),
}

PLACES: dict[str, Callable[[int], Collection[int]]] = {
    "first": range,
    "middle": lambda bad: range((CHARTS - bad) // 2, (CHARTS - bad) // 2 + bad),
    "last": lambda bad: range(CHARTS - bad, CHARTS),
    "spread": lambda bad: [(2 * number + 1) * CHARTS // (2 * bad) for number in range(bad)],
}


class Everybody:
    """A provider with room for all."""

    def ask(self, _now_ms: int) -> float | None:
        return None


class Folder(Simulation):
    """A folder in which some charts always fail; or all do, for as long as `is_away` says so."""

    def __init__(
        self,
        lanes: Lanes,
        bad: Collection[str],
        *,
        delays_s: tuple[float, ...],
        workers: int = 1,
        max_retries: int = 1,
        is_away: Callable[[float], bool] = lambda _s: False,
        latency_s: tuple[float, float] = (ANSWER_S, ANSWER_S),
    ) -> None:
        self.bad, self.max_attempts, self.is_away = bad, max_retries + 1, is_away
        self._delays_s = dict(zip(sorted(bad), itertools.cycle(delays_s)))
        self._away_s = delays_s[0]
        self.asked: Counter[str] = Counter()
        super().__init__(lanes, Everybody(), workers=workers, threads=IN_FLIGHT // workers, latency_s=latency_s)

    def hire(self) -> None:
        super().hire()
        self._beat(self.workers[-1])

    def _beat(self, worker: Worker) -> None:
        """Calls take longer than a lease."""
        if worker.held:
            worker.heartbeat()
        self.after(HEARTBEAT_S, lambda: self._beat(worker))

    def _arrive(self, worker: Worker, lease: Lease) -> None:
        self.calls += 1
        self.asked[lease.job] += 1
        if lease.job in self.bad or self.is_away(self.took_s):
            self.after(self._delays_s.get(lease.job, self._away_s), lambda: self._fail(worker, lease))
        else:
            self.after(self.random.uniform(*self.latency_s), lambda: self._end(worker, lease, None))

    def _fail(self, worker: Worker, lease: Lease) -> None:
        """As the worker does: the gate hears first; what an outage ate is given back, and the job goes behind."""
        self.attempts[lease.job] += 1
        polled = worker.poll([Settlement(lease=lease, verdict="transient")], want=0)
        worker.held[lease.execution] = lease
        self.attempts.subtract(polled.give_back)
        if lease.job in polled.give_back:
            settled = Settlement(lease=lease, to="back")
        elif self.attempts[lease.job] >= self.max_attempts:
            self.failed.append(lease.job)
            settled = Settlement(lease=lease, to="failed")
        else:
            backoff_s = RETRY_DELAY_S * 2 ** (self.attempts[lease.job] - 1) * self.random.uniform(0.5, 1.0)
            settled = Settlement(lease=lease, to="delay", delay_s=backoff_s)
        self._poll(worker, [settled])


@dataclass(frozen=True)
class Measured:
    ideal_s: float
    took_s: float
    calls: int


def folder(redis: Redis, kind: str, place: str, bad: int, *, workers: int = 1, max_retries: int = 1) -> Measured:
    """Run it; all the others are answered, once, and all the bad ones fail."""
    lanes = Lanes(redis)
    jobs = lanes.submit(CHARTS)
    poison = {jobs[number] for number in PLACES[place](bad)}
    assert len(poison) == bad
    simulation = Folder(lanes, poison, delays_s=KINDS[kind], workers=workers, max_retries=max_retries)
    simulation.run(CHARTS)
    assert set(simulation.failed) == poison
    assert sorted(simulation.answered) == sorted(set(jobs) - poison)
    assert not lanes.gate().held
    # Its attempts one after the other, with back-offs in between; the slots shared by all.
    delays_s = list(itertools.islice(itertools.cycle(KINDS[kind]), bad))
    work_s = (ANSWER_S * (CHARTS - bad) + (max_retries + 1) * sum(delays_s)) / IN_FLIGHT
    one_s = (max_retries + 1) * max(delays_s) + sum(RETRY_DELAY_S * 0.75 * 2**n for n in range(max_retries))
    return Measured(max(work_s, one_s), simulation.took_s, simulation.calls)


#: A false outage closes the gate for a second, and one probe goes alone; a batch of 20 holds up to four of them.
FALSE_OUTAGES_S = 15.0

#: With nobody left who could tell an outage from charts that always fail: a minute, and one more for each attempt.
NOBODY_LEFT_S = 260.0


@pytest.mark.parametrize("bad", [1, 5, 20])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_charts_fail_and_the_others_hardly_notice(redis: Redis, kind: str, place: str, bad: int) -> None:
    found = folder(redis, kind, place, bad)
    assert found.took_s <= 1.6 * found.ideal_s + (NOBODY_LEFT_S if place == "last" else FALSE_OUTAGES_S)
    assert found.calls <= CHARTS + bad + 2 * bad


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("max_retries", [0, 1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_whatever_is_retried_and_by_however_many_workers(
    redis: Redis, place: str, max_retries: int, workers: int
) -> None:
    found = folder(redis, "500 at once", place, 6, workers=workers, max_retries=max_retries)
    assert found.took_s <= 1.6 * found.ideal_s + (NOBODY_LEFT_S if place == "last" else FALSE_OUTAGES_S)


@pytest.mark.parametrize(("charts", "within_s"), [(1, 10), (3, 200), (20, 300)])
def test_a_folder_of_nothing_but_bad_charts_ends(redis: Redis, charts: int, within_s: float) -> None:
    lanes = Lanes(redis)
    jobs = lanes.submit(charts)
    simulation = Folder(lanes, jobs, delays_s=(0.01,))
    simulation.run(charts)
    assert sorted(simulation.failed) == sorted(jobs)
    assert simulation.took_s < within_s


# True outages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_after_s", [0.01, 2.0, 45.0])
@pytest.mark.parametrize("outage_s", [20, 600, 4 * 3600])
def test_an_outage_in_the_middle_spends_nothing(redis: Redis, outage_s: float, fails_after_s: float) -> None:
    lanes = Lanes(redis)
    jobs = lanes.submit(1000)
    simulation = Folder(
        lanes, (), delays_s=(fails_after_s,), is_away=lambda now_s: 30 <= now_s < 30 + outage_s, latency_s=(2.0, 5.0)
    )
    simulation.run(1000)
    assert simulation.failed == []
    assert simulation.attempts.total() == 0
    assert sorted(simulation.answered) == sorted(jobs)
    assert simulation.calls <= 1000 + IN_FLIGHT + 20 + outage_s / 60
    assert simulation.took_s <= 30 + 1.3 * outage_s + 2 * 900 * (outage_s > 1000) + 330 + fails_after_s


def test_an_outage_that_comes_and_goes_fails_nobody_it_met_before(redis: Redis) -> None:
    """Those whom the first one met are the last in the queue, and the next one meets them all again."""
    lanes = Lanes(redis)
    lanes.submit(100)
    simulation = Folder(
        lanes, (), delays_s=(0.01,), is_away=lambda now_s: 8 < now_s % 50 < 45, latency_s=(2.0, 4.0), max_retries=2
    )
    simulation.run(100)
    assert simulation.took_s > 90
    assert len(simulation.failed) <= 2, "fewer than three can't be told from charts that always fail"


def test_with_few_left_an_outage_of_a_minute_spends_nothing(redis: Redis) -> None:
    lanes = Lanes(redis)
    lanes.submit(30)
    simulation = Folder(lanes, (), delays_s=(0.01,), is_away=lambda now_s: 1 < now_s < 60, max_retries=1)
    simulation.run(30)
    assert simulation.failed == []
    assert +simulation.attempts == Counter()


@pytest.mark.parametrize("place", PLACES)
def test_bad_charts_and_an_outage_together(redis: Redis, place: str) -> None:
    lanes = Lanes(redis)
    jobs = lanes.submit(CHARTS)
    poison = {jobs[number] for number in PLACES[place](6)}
    simulation = Folder(lanes, poison, delays_s=(0.01,), is_away=lambda now_s: 2 < now_s < 300)
    simulation.run(CHARTS)
    assert set(simulation.failed) == poison


def table(redis: Redis) -> Iterator[str]:
    yield "| fails by | place | " + " | ".join(f"{bad} of {CHARTS}" for bad in (1, 5, 20)) + " |"
    for kind, place in itertools.product(KINDS, PLACES):
        cells = []
        for bad in (1, 5, 20):
            found = folder(redis, kind, place, bad)
            cells.append(f"{found.ideal_s:.0f} / {found.took_s:.0f} s, {found.calls} calls")
        yield f"| {kind} | {place} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    with running_redis() as server:
        for line in table(server):
            print(line, flush=True)
