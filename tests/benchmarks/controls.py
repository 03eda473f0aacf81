"""What people steer while it runs: how soon a pause and a limit hold, and what a prune costs the workers beside it."""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.redis_servers import OwnRedis, own_redis
from support.stack import Stack, draw_charts, eventually, stack

from benchmarks.large_ledger import fill
from benchmarks.table import Table, say
from jobs.batches import operations
from jobs.batches.session import Session
from jobs.config.settings import load_settings
from jobs.core.rates import RateLimits
from worker.rehearsal import Behaviour, Rehearsal

_MODEL = "org/model"
_WHO = "the benchmark"
#: Seconds that nothing begins before a pause is said to hold; those of a rate that holds.
_QUIET_S, _WINDOW_S = 1.5, 1.0


@dataclass(frozen=True)
class Controls:
    """How often and how much."""

    pauses: int
    losses: int
    changes: int
    rows: int
    workers: Sequence[int] = (1, 8)


@dataclass(frozen=True)
class _Bench:
    """Workers beside a session of ours, on a Redis that we may break."""

    folder: Path
    server: Rehearsal
    user: Stack
    redis: OwnRedis
    open_: ExitStack

    @contextmanager
    def session(self) -> Iterator[Session]:
        before = os.environ.copy()
        os.environ.update(self.user.environment)
        try:
            settings = load_settings(env_file=None)
        finally:
            os.environ.clear()
            os.environ.update(before)
        with Session(settings) as session:
            yield session

    def restart_redis(self) -> None:
        """It dies, and another one is there that knows nothing."""
        self.redis.process.kill()
        self.redis.process.wait()
        self.open_.enter_context(own_redis(port=self.redis.port))

    def begun(self) -> list[float]:
        return [call.at for call in self.server.record]

    def goes_on(self) -> None:
        """Wait until calls begin again."""
        before = len(self.server.record)
        eventually(lambda: len(self.server.record) > before + 10)

    def last_call_s(self, since: float) -> float:
        """Seconds from `since` to the last call that began, once none does any more."""
        eventually(lambda: time.time() - max(since, *self.begun()) > _QUIET_S)
        return max(0.0, max(self.begun()) - since)


def measure(folder: Path, plan: Controls) -> Table:
    """All of it."""
    rows: list[list[str]] = []
    for workers in plan.workers:
        say(f"controls: {workers} workers ...")
        with _bench(folder / f"controls-{workers}", workers, charts=400 * plan.pauses) as bench:
            rows += _pauses(bench, workers, plan) + _limits(bench, workers, plan)
    say("controls: prune ...")
    with _bench(folder / "prune", 1, charts=6000) as bench:
        rows += _prune(bench, plan.rows)
    return Table(["", "workers", "times", "median", "95 %", "longest"], rows)


@contextmanager
def _bench(folder: Path, workers: int, *, charts: int) -> Iterator[_Bench]:
    with ExitStack() as open_:
        server = open_.enter_context(Rehearsal(Behaviour(latency_s=0.2)))
        redis = open_.enter_context(own_redis())
        folder.mkdir()
        user = open_.enter_context(stack(folder, HF_BASE_URL=server.base_url, VISION_MODEL=_MODEL, REDIS_URL=redis.url))
        draw_charts(folder / "charts", charts)
        user.submit("charts")
        for _ in range(workers):
            user.worker("--concurrency", str(max(2, 16 // workers)))
        yield _Bench(folder, server, user, redis, open_)


def _pauses(bench: _Bench, workers: int, plan: Controls) -> list[list[str]]:
    lasts, after_loss = [], []
    with bench.session() as session:
        for number in range(plan.pauses):
            bench.goes_on()
            time.sleep(0.137 * (number % 7))  # at any moment of the workers' loop
            since = time.time()
            operations.pause(session, _WHO)
            lasts.append(bench.last_call_s(since))
            if number < plan.losses:
                made = len(bench.begun())
                if number % 2:
                    bench.restart_redis()
                else:
                    bench.redis.client.flushall()
                time.sleep(2 * _QUIET_S)
                after_loss.append(float(len(bench.begun()) - made))
            operations.resume(session, None)
    told = [_row("pause: until the last call begins, s", workers, lasts)]
    return [*told, _row("FLUSHALL or a new Redis while paused: calls that begin", workers, after_loss)]


def _limits(bench: _Bench, workers: int, plan: Controls) -> list[list[str]]:
    low, high = 10, 40
    down, up = [], []
    with bench.session() as session:
        _set(session, high)
        time.sleep(3)
        for _ in range(plan.changes):
            since = time.time()
            _set(session, low)
            time.sleep(5)
            down.append(_holds_after(bench.begun(), since, lambda calls: calls <= low))
            since = time.time()
            _set(session, high)
            time.sleep(5)
            up.append(_holds_after(bench.begun(), since, lambda calls: calls >= 0.8 * high))
        operations.limit(session, _WHO, _MODEL, rate=None, concurrency=None)
    return [
        _row(f"limit {high}/s to {low}/s: until no second has more, s", workers, down),
        _row(f"limit {low}/s to {high}/s: until every second has four fifths of it, s", workers, up),
    ]


def _set(session: Session, calls: int) -> None:
    operations.limit(session, _WHO, _MODEL, rate=RateLimits.parse(f"{calls}/s"), concurrency=None)


def _holds_after(begun: Sequence[float], since: float, holds: Callable[[int], bool]) -> float:
    """Seconds from `since` to the beginning of the time from which each second's calls are as they should be.

    Infinite if the last second looked at is not: the rate was not seen to hold.
    """
    end = time.time() - _WINDOW_S
    moments = [since + step * 0.05 for step in range(int((end - since) / 0.05))]
    bad = [at for at in moments if not holds(sum(at <= one < at + _WINDOW_S for one in begun))]
    if bad and bad[-1] == moments[-1]:
        return math.inf
    return bad[-1] + 0.05 - since if bad else 0.0


def _prune(bench: _Bench, rows: int) -> list[list[str]]:
    with bench.session() as session, closing(session.ledger):
        old = fill(session.ledger, rows)
        session.ledger.cancel(old, time.time())
        path = Path(bench.user.results_url.removeprefix("sqlite:///"))
        bytes_before = _size_of(path)
        before = _rate(bench, 5)
        began, calls = time.monotonic(), len(bench.begun())
        operations.delete(session, session.ledger.batch(old.batch_id))
        took_s = time.monotonic() - began
        meanwhile = (len(bench.begun()) - calls) / took_s
        given_back = bytes_before - _size_of(path)
    return [
        [f"delete a batch of {rows:,} rows, s", "1", "1", f"{took_s:.1f}", "-", "-"],
        ["given back to the system, MB (of)", "1", "1", f"{given_back / 1e6:.0f} ({bytes_before / 1e6:.0f})", "-", "-"],
        ["the worker's jobs/s before, meanwhile", "1", "1", f"{before:.1f}, {meanwhile:.1f}", "-", "-"],
    ]


def _rate(bench: _Bench, span_s: float) -> float:
    calls = len(bench.begun())
    time.sleep(span_s)
    return (len(bench.begun()) - calls) / span_s


def _size_of(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


def _row(what: str, workers: int, values: Sequence[float]) -> list[str]:
    most = sorted(values)
    told = (statistics.median(most), most[math.ceil(0.95 * len(most)) - 1], most[-1])
    return [what, str(workers), str(len(values)), *(f"{one:.2f}" for one in told)]
