"""Whole folders on a fast clock: the real Lua, lane clients as workers have them, providers that count themselves."""

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from support.lanes import HOUR_S, Lanes, Worker
from worker.engine.exchange import Lease, Settlement
from worker.engine.lane_client import LEASE_S

#: Of a job (MAX_RETRIES=2).
MAX_ATTEMPTS = 3

# Providers ----------------------------------------------------------------------------------------------


class Provider(Protocol):
    """Answers (None), or refuses and says after how many seconds to come again."""

    def ask(self, now_ms: int) -> float | None: ...


@dataclass
class FixedWindows:
    """Counts anew whenever a window of its own begins, wherever that lies. Refused calls count."""

    calls: int
    window_ms: int
    phase_ms: int = 0
    counted: dict[int, int] = field(default_factory=dict)

    def ask(self, now_ms: int) -> float | None:
        window, into_ms = divmod(now_ms - self.phase_ms, self.window_ms)
        self.counted[window] = self.counted.get(window, 0) + 1
        return None if self.counted[window] <= self.calls else (self.window_ms - into_ms) / 1000


@dataclass
class SlidingWindow:
    """Counts the calls of the last `window_ms`, refused ones too."""

    calls: int
    window_ms: int
    asked: deque[int] = field(default_factory=deque)

    def ask(self, now_ms: int) -> float | None:
        while self.asked and self.asked[0] <= now_ms - self.window_ms:
            self.asked.popleft()
        self.asked.append(now_ms)
        return None if len(self.asked) <= self.calls else (self.asked[0] + self.window_ms - now_ms) / 1000


# Workers ------------------------------------------------------------------------------------------------


class Simulation:
    """Events in the order of their time; each is a call that arrives, a call that ends, or a worker that looks."""

    def __init__(
        self,
        lanes: Lanes,
        provider: Provider,
        *,
        workers: int,
        threads: int,
        limits: str = "",
        latency_s: tuple[float, float],
        hints: bool = True,
        seed: int = 0,
    ) -> None:
        self.lanes, self.provider, self.threads, self.limits = lanes, provider, threads, limits
        self.latency_s, self.hints = latency_s, hints
        self.random = random.Random(seed)
        self.started_ms = lanes.clock.now_ms
        self.answered: list[str] = []
        self.failed: list[str] = []
        #: Refusals that counted, by job.
        self.attempts: Counter[str] = Counter()
        self.calls = self.refusals = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order, self._names = itertools.count(), itertools.count()
        self.workers: list[Worker] = []
        for _ in range(workers):
            self.hire()

    @property
    def took_s(self) -> float:
        return (self.lanes.clock.now_ms - self.started_ms) / 1000

    def run(self, jobs: int) -> None:
        """Until so many jobs have been answered, or failed."""
        while len({*self.answered, *self.failed}) < jobs:
            at_ms, _, event = heapq.heappop(self._events)
            self.lanes.clock.now_ms = max(at_ms, self.lanes.clock.now_ms)
            event()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.lanes.clock.now_ms + round(seconds * 1000), next(self._order), event))

    def at_hour(self, hours: float, event: Callable[[], None]) -> None:
        self.after(hours * HOUR_S - self.took_s, event)

    def hire(self) -> None:
        worker = self.lanes.worker(f"w{next(self._names)}", limits=self.limits, proven=False)
        self.workers.append(worker)
        self.after(0, lambda: self._look(worker))

    def kill(self) -> None:
        """SIGKILL to the busiest worker: its calls are lost, and its jobs are taken over when its lease is over."""
        victim = max(self.workers, key=lambda worker: len(worker.held))
        self.workers.remove(victim)
        self.hire()
        self.after(LEASE_S + 2, self._take_over)

    def restart(self) -> None:
        """SIGTERM to a worker: it gives back what it holds, whose calls may have been made."""
        leaver = self.workers.pop(0)
        leaver.settle(list(leaver.held.values()), verdict="gone", to="front")
        leaver.lane_client.leave()
        self.hire()

    def _take_over(self) -> None:
        worker = self.workers[0]
        lost = worker.lane_client.expired(100)
        worker.poll([Settlement(lease=lease, to="alone", worker=name) for lease, name in lost], want=0)

    def _look(self, worker: Worker) -> None:
        if worker in self.workers:
            self._poll(worker, [])
            self.after(self._next_look_s(worker), lambda: self._look(worker))

    def _next_look_s(self, worker: Worker) -> float:
        """As the worker does, but a wait of an hour isn't spent in looks of a second each."""
        if worker.held or worker.turned.leases or worker.turned.wait_s < 1:
            return max(worker.turned.wait_s, 0.001)
        gate = self.lanes.gate()
        wait_s = max(gate.budget_wait_s, (gate.until_s or 0.0) - self.lanes.clock.now_ms / 1000)
        return max(1.0, wait_s * self.random.uniform(0.5, 1.0) if wait_s > 60 else wait_s - 1)

    def _poll(self, worker: Worker, settlements: list[Settlement]) -> None:
        ending = {settled.lease.execution for settled in settlements}
        alone = any(lease.alone and lease.execution not in ending for lease in worker.held.values())
        want = 0 if alone else self.threads - len(worker.held.keys() - ending)
        for lease in worker.poll(settlements, want=want).leases:
            self.after(self.random.uniform(0.01, 0.1), lambda lease=lease: self._arrive(worker, lease))  # type: ignore[misc]

    def _arrive(self, worker: Worker, lease: Lease) -> None:
        if lease.execution in worker.held:
            self.calls += 1
            hint_s = self.provider.ask(self.lanes.clock.now_ms)
            latency_s = 0.01 if hint_s is not None else self.random.uniform(*self.latency_s)
            self.after(latency_s, lambda: self._end(worker, lease, hint_s))

    def _end(self, worker: Worker, lease: Lease, hint_s: float | None) -> None:
        if worker not in self.workers:
            return
        if hint_s is None:
            self.answered.append(lease.job)
            self._poll(worker, [Settlement(lease=lease, verdict="ok", to="finished")])
            return
        self.refusals += 1
        if lease.suspect:
            self._count_refusal(worker, lease)
            return
        throttled = Settlement(
            lease=lease,
            verdict="throttled",
            to="front",
            why="throttled",
            hint_s=hint_s if self.hints else None,
            jitter=self.random.random(),
        )
        self._poll(worker, [throttled])

    def _count_refusal(self, worker: Worker, lease: Lease) -> None:
        self.attempts[lease.job] += 1
        if self.attempts[lease.job] == MAX_ATTEMPTS:
            self.failed.append(lease.job)
            self._poll(worker, [Settlement(lease=lease, verdict="suspect", to="failed", why="throttled")])
        else:
            delay_s = 2.0 * 2 ** (self.attempts[lease.job] - 1)
            spoken = Settlement(lease=lease, verdict="suspect", to="delay", delay_s=delay_s, why="throttled")
            self._poll(worker, [spoken])
