"""Everything that takes part in a chaos run, and how the events happen to it."""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from support.stack import Stack, stack

from chaos.crew import Crew
from chaos.hosts import CLOCKS_WRONG_S
from chaos.plan import HURTS, Event
from chaos.promises import Row
from chaos.provider import Provider
from chaos.servers import PostgresStore, RedisUnderFire, SqliteStore, Store, until
from chaos.stranger import TOKEN as STRANGERS_TOKEN
from chaos.stranger import Stranger
from chaos.users import Users, sha256_of
from jobs.ledger import Ledger

#: Made up, so that it is found wherever it doesn't belong.
TOKEN = "hf_ChaosRunTokenThatBelongsNowhere"

#: Of a call.
TIMEOUT_S = 10.0

#: Enough for bad luck, which no chart has so often, and few enough for poison to use them up.
MAX_RETRIES = 5

_TICK_S = 0.05
#: How long a fault waits for a busy moment.
_PATIENCE_S, _LOOK_AGAIN_S = 4.0, 0.2
_START_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked for."""

    seed: int = 1
    #: How long things go wrong; until all is done takes half a minute more.
    seconds: float = 15.0
    fault_every_s: float = 0.9
    wish_every_s: float = 1.2
    charts_each: int = 40
    workers: int = 3
    in_flight: int = 8
    store: str = "sqlite"
    #: How long the jobs may take after the last fault: what waits takes minutes, and poison charts that are left alone
    #: are asked once a minute, as often as they have attempts.
    finish_within_s: float = 1800.0


@dataclass
class Scene:
    """Everything that takes part."""

    plan: Plan
    stack: Stack
    redis: RedisUnderFire
    store: Store
    provider: Provider
    crew: Crew
    users: Users
    stranger: Stranger
    ledger: Ledger
    #: What happened, by kind.
    happened: Counter[str] = field(default_factory=Counter)
    #: Redis, the store: what is away just now.
    _away: set[str] = field(default_factory=set)
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def warm_up(self) -> None:
        """Until the workers work and the lane has answered: what fails alike from now on is no fault of every job.

        Raises TimeoutError.
        """
        self.users.wish("submit", 0)

        def works() -> bool:
            self._tick()
            finished = sum(self.ledger.counts(batch, recent_since=0).finished for batch in self.ledger.batches())
            return finished > 0 and len(self.provider.server.record) >= self.plan.workers

        until(works, within_s=_START_WITHIN_S)

    def play(self, events: list[Event]) -> None:
        """Let all of it happen; what lasts is over when this returns."""
        started = time.monotonic()
        coming = iter(events)
        event = next(coming, None)
        while event is not None or self._later:
            now_s = time.monotonic() - started
            while event is not None and event.at_s <= now_s:
                self._happen(event)
                event = next(coming, None)
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()
            self._tick()

    def _tick(self) -> None:
        self.crew.fill_up()
        self.users.look()
        self.stranger.look()
        time.sleep(_TICK_S)

    def _happen(self, event: Event, patience_s: float = _PATIENCE_S) -> None:
        if event.what in HURTS and patience_s > 0 and self.provider.in_flight < self.plan.in_flight:
            # To hurt an idle worker shows nothing.
            self._do_later(_LOOK_AGAIN_S, lambda: self._happen(event, patience_s - _LOOK_AGAIN_S))
            return
        undo = self._begun(event)
        if undo is not None:
            self.happened[event.what] += 1
            self._do_later(event.lasts_s, undo)

    def _do_later(self, wait_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + wait_s, next(self._numbers), what))

    def _begun(self, event: Event) -> Callable[[], None] | None:
        """Let it happen. Returns what ends it; None if there was nothing that it could happen to."""
        what, pick = event.what, event.pick
        match what:
            case "kill two":
                hurt = [self.crew.hurt("kill", pick), self.crew.hurt("kill", pick)]
                return _nothing if any(hurt) else None
            case "kill" | "terminate":
                return _nothing if self.crew.hurt(what, pick) else None
            case "freeze" | "nap":
                worker = self.crew.hurt(what, pick)
                return None if worker is None else lambda: self.crew.thaw(worker)
            case "redis killed" | "redis flushed" | "redis paused" | "store out":
                return self._take_away(what)
            case "stranger":
                return _nothing if self._stranger_came() else None
            case "submit" | "submit and die" | "overlap" | "cancel" | "retry" | "resume" | "status":
                self.users.wish(what, pick)
                return _nothing
        if not self.provider.runs:
            return None
        self.provider.begin(what, pick)
        return self.provider.end

    def _take_away(self, what: str) -> Callable[[], None] | None:
        """Redis or the store, if it isn't away already."""
        thing = what.split()[0]
        if thing in self._away:
            return None
        if what == "redis flushed":
            if self.stranger.is_there:  # a Redis that has forgotten whose it is belongs to who comes first
                return None
            self.redis.flush()
            return _nothing
        go, come = {
            "redis killed": (self.redis.kill, self.redis.start),
            "redis paused": (self.redis.pause, self.redis.go_on),
            "store out": (self.store.take_away, self.store.give_back),
        }[what]
        try:
            go()
        except TimeoutError:  # a frozen worker holds the store's lock
            return None
        self._away.add(thing)

        def back() -> None:
            come()
            self._away.discard(thing)

        return back

    def _stranger_came(self) -> bool:
        if "redis" in self._away or self.stranger.is_there or not self.redis.is_claimed:
            return False
        self.stranger.come()
        return True

    def finish(self) -> float | None:
        """No more faults: let everything end. Seconds that it took; None if it didn't."""
        self.provider.calm()
        started = time.monotonic()
        while time.monotonic() < started + self.plan.finish_within_s:
            for _ in range(10):
                self._tick()
            if self.users.are_done and not self.stranger.is_there and self.open_rows() == 0:
                return time.monotonic() - started
        return None

    def open_rows(self) -> int:
        counts = [self.ledger.counts(batch, recent_since=0) for batch in self.ledger.batches()]
        return sum(count.queued + count.started + count.scheduled for count in counts)

    def rows(self) -> list[Row]:
        sha256 = cache(sha256_of)
        return [
            Row(
                batch_id=batch.batch_id,
                job_id=row.job_id,
                key=(sha256(Path(row.image)), row.prompt),
                status=row.status,
                attempts=row.attempts,
                throttled=row.throttled,
                error=f"{row.error.type}: {row.error.message}" if row.error else None,
                raw=row.raw,
                finished_at=row.finished_at,
            )
            for batch in self.ledger.batches()
            for row in self.ledger.results(batch)
        ]


def _nothing() -> None:
    """What ends a thing that is over at once."""


@contextmanager
def made(plan: Plan, folder: Path) -> Iterator[Scene]:
    """The scene, its files in `folder`; no process is left of it."""
    with ExitStack() as shutdown:
        store: Store = PostgresStore() if plan.store == "postgresql" else SqliteStore(folder / "store")
        shutdown.callback(store.stop)
        redis = RedisUnderFire(folder / "redis")
        shutdown.callback(redis.stop)
        provider = Provider(plan.seed)
        shutdown.enter_context(provider.server)
        user = shutdown.enter_context(stack(folder, **environment(provider.server.base_url, redis.url, store.url)))
        user.home.mkdir()  # else workers that are killed leave their stamps in the system's temporary folder
        ledger = shutdown.enter_context(Ledger.open(store.url))
        crew = Crew(user, plan.workers, plan.in_flight, CLOCKS_WRONG_S)
        users = Users(user, provider.poison, plan.charts_each)
        (folder / "stranger").mkdir()
        mistaken = {"HF_BASE_URL": provider.server.base_url, "HF_TOKEN": STRANGERS_TOKEN, "REDIS_URL": redis.url}
        stranger = Stranger(shutdown.enter_context(stack(folder / "stranger", **mistaken)))
        yield Scene(plan, user, redis, store, provider, crew, users, stranger, ledger)


def environment(base_url: str, redis_url: str, results_url: str) -> Mapping[str, str]:
    """What workers and commands see."""
    return {
        "HF_BASE_URL": base_url,
        "HF_TOKEN": TOKEN,
        "REDIS_URL": redis_url,
        "RESULTS_URL": results_url,
        "VISION_TIMEOUT": str(TIMEOUT_S),
        "MAX_RETRIES": str(MAX_RETRIES),
        "RETRY_DELAY": "0.2",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
    }
