"""The systems side by side: how each is given its jobs and how its worker is started, as its documentation says."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.place import Place

PROMPT = "Up or down?"


class System(Protocol):
    """Something that works off jobs."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    def send(self, place: Place, task: str, paths: Sequence[Path]) -> None:
        """Put a job on the queue for each path."""

    def worker(self, place: Place, task: str) -> list[str]:
        """The command that works."""


@dataclass(frozen=True)
class Peer:
    """A queue in the peers' environment. `program`: its worker; REDIS stands for the server's URL."""

    name: str
    in_flight: int
    app: str
    program: str

    def send(self, place: Place, task: str, paths: Sequence[Path]) -> None:
        python = place.lab.peers.program("python")
        place.run([python, "-m", "benchmarks.peers.send", self.app, task, place.list_of(paths)])

    def worker(self, place: Place, task: str) -> list[str]:
        program, *args = self.program.format(n=self.in_flight).split()
        return [place.lab.peers.program(program), *(place.redis.url if arg == "REDIS" else arg for arg in args)]


@dataclass(frozen=True)
class Pool:
    """No queue: a thread pool that is given a list."""

    name: str
    in_flight: int
    policy: str = "floor"

    def send(self, place: Place, task: str, paths: Sequence[Path]) -> None:
        place.list_of(paths)

    def worker(self, place: Place, task: str) -> list[str]:
        [paths] = place.folder.glob("paths-*")
        pool = ["-m", "benchmarks.peers.pool", self.policy, str(self.in_flight), str(paths)]
        return [place.lab.peers.program("python"), *pool]


@dataclass(frozen=True)
class Chartq:
    """chartq, as `pip install` brings it."""

    name: str
    in_flight: int

    def send(self, place: Place, task: str, paths: Sequence[Path]) -> None:
        place.run([place.lab.chartq.program("chartq"), "submit", *map(str, paths), "-p", PROMPT, "-q"])

    def worker(self, place: Place, task: str) -> list[str]:
        if task == "noop":
            return [place.lab.chartq.program("python"), "-m", "benchmarks.noop_worker", str(self.in_flight)]
        return [place.lab.chartq.program("chartq"), "worker", "--concurrency", str(self.in_flight)]


RQ_SIMPLE = "rq worker-pool -n {n} -w rq.worker.SimpleWorker -u REDIS default"
RQ_FORK = "rq worker-pool -n {n} -u REDIS default"
#: Its thread pool checks rate limits only once a second; for quotas it gets processes, its default.
CELERY_FORK = "celery -A benchmarks.peers.celery_app worker -P prefork -c {n}"
CELERY = "celery -A benchmarks.peers.celery_app worker -P threads -c {n}"
DRAMATIQ = "dramatiq benchmarks.peers.dramatiq_app -p 1 -t {n}"
HUEY = "huey_consumer benchmarks.peers.huey_app.huey -k thread -w {n}"


def side_by_side(in_flight: int, rq_processes: int) -> list[System]:
    """All that the first table shows. RQ runs one job in each process."""
    return [
        Pool(f"floor: ThreadPoolExecutor x{in_flight} + requests", in_flight),
        Chartq(f"chartq worker x{in_flight}", in_flight),
        Peer(f"huey threads x{in_flight}", in_flight, "huey", HUEY),
        Peer(f"dramatiq threads x{in_flight}", in_flight, "dramatiq", DRAMATIQ),
        Peer(f"celery threads x{in_flight}", in_flight, "celery", CELERY),
        Peer(f"rq SimpleWorker x{rq_processes}", rq_processes, "rq", RQ_SIMPLE),
        Peer(f"rq fork x{rq_processes}", rq_processes, "rq", RQ_FORK),
    ]


PROVIDER = [sys.executable, "-m", "benchmarks.provider"]
