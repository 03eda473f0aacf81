"""(b) How well a fixed quota is used: 30 calls per 5 s, with and without the server's hints, beside usual policies."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.place import Lab, Place, StuckError, opened
from benchmarks.programs import Program
from benchmarks.systems import CELERY_FORK, RQ_SIMPLE, Chartq, Peer, Pool
from benchmarks.table import Table, say

_CALLS, _WINDOW_S, _LATENCY_S = 30, 5.0, 0.3

#: Nobody calls for so long: whoever waits longer than that for a window of 5 s has given up.
_QUIET_S = 15.0

#: Runs at a time: they wait nearly all the time.
_AT_A_TIME = 4


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A system as it is told, or not told, about the quota."""

    name: str
    system: Chartq | Peer | Pool
    task: str = "ask"
    limit: str = ""


def _policies(threads: int) -> list[Policy]:
    celery = Peer("celery", 10, "celery", CELERY_FORK)
    return [
        Policy(name="chartq, told nothing", system=Chartq("chartq", threads)),
        Policy(name="chartq, HF_RATE_LIMIT=30/5s", system=Chartq("chartq", threads), limit="30/5s"),
        Policy(name="rq Retry(max=3, interval=5), 10 workers", system=Peer("rq", 10, "rq", RQ_SIMPLE), task="retrying"),
        Policy(name="celery autoretry_for, retry_backoff, max_retries=3, 10 processes", system=celery, task="retrying"),
        Policy(name="celery the same + rate_limit=6/s", system=celery, task="retrying-limited"),
        Policy(name="tenacity, random exponential, 6 attempts", system=Pool("pool", threads, "tenacity")),
        Policy(name="urllib3 Retry(5), heeds Retry-After", system=Pool("pool", threads, "urllib3")),
    ]


def keep_quota(lab: Lab, charts: Sequence[Path], *, threads: int, only: Sequence[str]) -> Table:
    """Each policy with each kind of server; every run has a server of its own."""
    policies = [one for one in _policies(threads) if not only or any(word in one.name for word in only)]
    runs = [(hints, policy) for hints in ("retry-after", "none") for policy in policies]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        rows = list(pool.map(lambda run: _row(lab, charts, *run), runs))
    windows = (len(charts) - 1) // _CALLS
    ideal_s = windows * _WINDOW_S + _LATENCY_S
    columns = ("policy", "hints", "finished", "time / ideal", "refused calls", "jobs lost")
    return Table(columns, rows, [f"{len(charts)} jobs; ideal: {ideal_s:.1f} s."])


def _row(lab: Lab, charts: Sequence[Path], hints: str, policy: Policy) -> list[str]:
    budget = ["--budget", f"{_CALLS}/{_WINDOW_S:g}s", "--window", "fixed", "--hints", hints]
    server = [lab.chartq.program("python"), "-m", "worker.rehearsal", "--latency", str(_LATENCY_S), "--no-look"]
    with opened(lab, provider=[*server, *budget]) as place:
        told = {"HF_RATE_LIMIT": policy.limit} if policy.limit else {}
        policy.system.send(place, policy.task, charts)
        with place.running(policy.system.worker(place, policy.task), **told) as worker:
            calls = _until_over(place, worker, len(charts))
    row = [policy.name, hints, *_found(calls, len(charts))]
    say(f"  {row}")
    return row


def _until_over(place: Place, worker: Program, jobs: int) -> list[dict[str, Any]]:
    """All calls, once all jobs are answered, the program has ended, or nobody has called for long."""
    started = time.monotonic()
    while True:
        time.sleep(0.5)
        ended = not worker.runs
        calls: list[dict[str, Any]] = place.look_up("/rehearsal/record")["calls"]
        if not calls and (ended or time.monotonic() - started > 60):
            raise StuckError(worker.said())
        quiet = calls and time.time() - calls[-1]["at"] > _QUIET_S
        if ended or quiet or len(_answered(calls)) >= jobs:
            return calls


def _answered(calls: Sequence[dict[str, Any]]) -> set[str]:
    return {call["image_sha256"] for call in calls if call["status"] == 200}


def _found(calls: Sequence[dict[str, Any]], jobs: int) -> list[str]:
    finished = len(_answered(calls))
    took_s = max(call["ended_at"] for call in calls if call["status"] == 200) - calls[0]["at"]
    ideal_s = (jobs - 1) // _CALLS * _WINDOW_S + _LATENCY_S
    refused = sum(call["status"] == 429 for call in calls)
    ratio = f"{took_s / ideal_s:.2f}" if finished == jobs else f"({took_s / ideal_s:.2f})"
    return [str(finished), ratio, str(refused), str(jobs - finished)]
