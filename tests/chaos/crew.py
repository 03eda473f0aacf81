"""The workers: started, hurt, replaced, and weighed as long as they live."""

import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from support.stack import Program, Stack

from chaos.hosts import program

#: What a worker says when a call is about to be made, and when a job's execution has ended and stands in the ledger.
_BEGINS = re.compile(r"^(\w+) begins: execution (\w+)$")

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Weight:
    """A look at a living worker."""

    at: float
    rss_bytes: int
    files: int
    threads: int


@dataclass(frozen=True)
class Line:
    """A line of a worker's log."""

    at: float
    level: str
    message: str
    event: str
    job: str | None
    traceback: str | None


@dataclass
class Worker:
    """One process, from its start to its end."""

    program: Program
    started_at: float
    #: When it was killed, frozen or told to leave: what it had in flight then may be lost.
    hurt_at: list[float] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    frozen: bool = False
    #: Told to go, by whatever signal: its end is no surprise.
    going: bool = False
    #: Of its host's clock, and so of the times in its log.
    wrong_s: float = 0.0

    @property
    def lives(self) -> bool:
        return self.program.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.lives:
            os.kill(self.program.pid, number)

    def weigh(self) -> None:
        """Note its size. Nothing to note once it is gone."""
        home = Path(f"/proc/{self.program.pid}")
        try:
            rss_pages = int((home / "statm").read_text().split()[1])
            counts = len(os.listdir(home / "fd")), len(os.listdir(home / "task"))
        except OSError:
            return
        self.weights.append(Weight(time.time(), rss_pages * _PAGE_BYTES, *counts))

    def lines(self) -> Iterator[Line | str]:
        """Its log; what is no line of ours as it stands there."""
        said = self.program.said.splitlines()
        for number, text in enumerate(said):
            try:
                yield _line(json.loads(text), self.wrong_s)
            except (ValueError, KeyError, TypeError):
                if self.program.returncode == -signal.SIGKILL and number == len(said) - 1:
                    return  # cut off in the middle of a word
                yield text


def _line(entry: Mapping[str, Any], wrong_s: float) -> Line:
    return Line(
        at=datetime.fromisoformat(entry["ts"]).timestamp() - wrong_s,
        level=entry["level"],
        message=entry["message"],
        event=entry["event"],
        job=entry.get("job_id"),
        traceback=entry.get("traceback"),
    )


class Crew:
    """`size` workers at any time; the first one is never killed, so that it can be weighed at the end.

    `clocks_wrong_s`: of the hosts that they run on, in turns.
    """

    def __init__(self, stack: Stack, size: int, in_flight: int, clocks_wrong_s: Sequence[float] = (0,)) -> None:
        self._stack, self._size, self._in_flight = stack, size, in_flight
        self._clocks = itertools.cycle(clocks_wrong_s)
        self.all: list[Worker] = []
        #: Workers that left although nobody told them to.
        self.deserters: list[Worker] = []

    @property
    def present(self) -> list[Worker]:
        return [worker for worker in self.all if worker.lives and not worker.going]

    def fill_up(self) -> None:
        """Start a worker for each that is missing, as Docker or systemd would."""
        for worker in self.all:
            if not worker.lives and not worker.going:
                worker.going = True
                self.deserters.append(worker)
        while len(self.present) < self._size:
            self._start()

    def _start(self) -> None:
        log = self._stack.folder / f"worker-{len(self.all)}.log"
        arguments = ("--concurrency", str(self._in_flight), "--grace", "2")
        wrong_s = next(self._clocks)
        process = self._stack.launch(*program(wrong_s), "worker", *arguments, log=log)
        self.all.append(Worker(process, time.time(), wrong_s=wrong_s))

    def hurt(self, what: str, pick: int) -> Worker | None:
        """Kill, freeze, or tell to leave some worker; None if there is none to be had."""
        spared = self.present[0:1] if what in ("kill", "terminate") else []
        there = [worker for worker in self.present if worker not in spared and not worker.frozen]
        if not there:
            return None
        worker = there[pick % len(there)]
        worker.hurt_at.append(time.time())
        worker.frozen = what in ("freeze", "nap")
        worker.going = what in ("kill", "terminate")
        number = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}.get(what, signal.SIGSTOP)
        worker.signal(number)
        return worker

    @staticmethod
    def thaw(worker: Worker) -> None:
        worker.frozen = False
        worker.signal(signal.SIGCONT)

    def weigh(self) -> None:
        for worker in list(self.all):
            if worker.lives:
                worker.weigh()

    def dismiss(self, within_s: float) -> list[int | None]:
        """Tell all to leave; the codes that they left with, None for who didn't in time."""
        for worker in self.present:
            worker.going = True
            worker.signal(signal.SIGTERM)
        deadline = time.monotonic() + within_s
        return [_code(worker.program, deadline) for worker in self.all if worker.program.returncode != -signal.SIGKILL]


def _code(program: Program, deadline: float) -> int | None:
    try:
        return program.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


@dataclass(frozen=True)
class Execution:
    """A call as its worker saw it."""

    worker: Worker
    job: str
    began_at: float
    #: When its end stood in the ledger; None if that was never said.
    written_at: float | None

    def in_flight_at(self, moment: float) -> bool:
        return self.began_at <= moment and (self.written_at is None or moment < self.written_at)

    @property
    def was_at_risk(self) -> bool:
        """Its worker was hurt before the answer was safe."""
        return any(self.in_flight_at(moment) for moment in self.worker.hurt_at)


def executions(workers: Sequence[Worker]) -> Mapping[str, Execution]:
    """All executions that the logs tell of, by their id."""
    found: dict[str, Execution] = {}
    for worker in workers:
        running: dict[str, str] = {}  # job -> execution
        for line in worker.lines():
            if isinstance(line, str):
                continue
            if match := _BEGINS.match(line.message):
                job, execution = match.groups()
                running[job] = execution
                found[execution] = Execution(worker, job, line.at, None)
            elif line.event.startswith("job ") and line.job in running:
                execution = running.pop(line.job)
                began = found[execution]
                found[execution] = Execution(worker, began.job, began.began_at, line.at)
    return found
