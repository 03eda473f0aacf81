"""A soak: very many tiny jobs against a server that answers at once, and what grows meanwhile."""

import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.charts import make_charts
from support.stack import stack

from chaos.crew import Crew, Weight
from chaos.promises import Promise
from chaos.report import Report
from chaos.scene import environment
from chaos.servers import RedisUnderFire, SqliteStore
from jobs.ledger import Ledger
from worker.rehearsal import Behaviour, Rehearsal

_CHART_BYTES = 300
_POLL_S = 1.0
#: A run that gets nowhere for so long is given up.
_STALL_S = 300.0
#: What a worker may grow by between a tenth of the jobs and all of them.
_GROWTH, _SLACK_BYTES, _SLACK_FILES = 1.10, 4_000_000, 6


@dataclass(frozen=True)
class Mark:
    """How things stood when so many jobs had ended."""

    ended: int
    after_s: float
    workers: list[Weight]
    redis_bytes: int
    ledger_bytes: int

    def line(self) -> str:
        memory = ", ".join(f"{weight.rss_bytes / 1e6:.1f}" for weight in self.workers)
        files = ", ".join(str(weight.files) for weight in self.workers)
        return (
            f"{self.ended:>7} jobs, {self.after_s:5.0f} s: workers {memory} MB, {files} descriptors; "
            f"Redis {self.redis_bytes / 1e6:.1f} MB; ledger {self.ledger_bytes / 1e6:.1f} MB"
        )


def soak(folder: Path, *, jobs: int, workers: int, in_flight: int) -> Report:
    """Submit them all, then work them off. The marks: at the start, at a tenth, in the middle, at the end."""
    make_charts(folder / "charts", jobs, _CHART_BYTES)
    with ExitStack() as shutdown:
        store = SqliteStore(folder / "store")
        redis = RedisUnderFire(folder / "redis")
        shutdown.callback(redis.stop)
        server = shutdown.enter_context(Rehearsal(Behaviour(look=False)))
        seen = dict(environment(server.base_url, redis.url, store.url), LOG_LEVEL="WARNING")
        user = shutdown.enter_context(stack(folder, **seen))
        user.home.mkdir()
        submitting = user.start("submit", str(folder / "charts"), "-p", "Up?", "-q")
        batch_id = submitting.communicate()[0].strip()
        ledger = shutdown.enter_context(closing(Ledger.open(store.url)))
        crew = Crew(user, workers, in_flight)
        crew.fill_up()
        batch = ledger.batch(batch_id)
        marks: list[Mark] = []
        wanted = [1, jobs // 10, jobs // 2, jobs]
        started = progress_at = time.monotonic()
        ended = 0
        while wanted and time.monotonic() - progress_at < _STALL_S:
            time.sleep(_POLL_S)
            server.record.clear()
            counts = ledger.counts(batch, recent_since=0)
            if counts.finished + counts.failed > ended:
                ended, progress_at = counts.finished + counts.failed, time.monotonic()
            crew.weigh()
            if ended >= wanted[0]:
                wanted.pop(0)
                weights = [worker.weights[-1] for worker in crew.all]
                marks.append(
                    Mark(ended, time.monotonic() - started, weights, redis.used_bytes(), _bytes_in(store.folder))
                )
        codes = crew.dismiss(within_s=60)
        return Report(_promises(jobs, counts.finished, crew, ended, codes), [mark.line() for mark in marks])


def _promises(jobs: int, finished: int, crew: Crew, ended: int, codes: list[int | None]) -> list[Promise]:
    done = Promise("every job is finished", [] if finished == jobs else [f"{finished} of {jobs}, {ended} have ended"])
    left = Promise("workers leave in order", [f"a worker left with {code}" for code in codes if code != 0])
    return [done, left, _flat(crew)]


def _flat(crew: Crew) -> Promise:
    """From a tenth of the time on: the median of the next tenth beside that of the last."""
    promise = Promise("memory and descriptors of the workers are flat from a tenth on")
    for worker in crew.all:
        tenth = len(worker.weights) // 10
        if tenth == 0:
            continue
        first, last = worker.weights[tenth : 2 * tenth], worker.weights[-tenth:]
        before, after = median(w.rss_bytes for w in first), median(w.rss_bytes for w in last)
        if after > before * _GROWTH + _SLACK_BYTES:
            promise.against.append(f"{before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
        if max(w.files for w in last) > max(w.files for w in first) + _SLACK_FILES:
            promise.against.append(f"{first[0].files} descriptors became {last[-1].files}")
        promise.figures += f"{before / 1e6:.1f} -> {after / 1e6:.1f} MB; "
    promise.figures = promise.figures.removesuffix("; ")
    return promise


def _bytes_in(folder: Path) -> int:
    return sum(os.stat(path).st_size for path in folder.iterdir())
