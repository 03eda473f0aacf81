"""The users: they submit folders, alone and over each other, kill their own commands, cancel, retry and resume."""

import hashlib
import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.stack import Program, Stack, draw_charts

from chaos.hosts import CLOCKS_WRONG_S, program
from chaos.provider import POISONS
from worker.rehearsal.behaviour import Fault

PROMPTS = ("Up or down?", "Which pattern do you see?")

#: Of so many charts one is poison: its job is to fail.
_POISON_EVERY = 40


@dataclass
class Command:
    """A command that runs."""

    args: Sequence[str]
    program: Program
    began_at: float
    #: What a submit asks about, by SHA-256.
    charts: frozenset[str] = frozenset()
    #: Seconds after which it is killed.
    dies_after_s: float | None = None


@dataclass(frozen=True)
class Order:
    """A submit that came through: a batch with these pictures."""

    batch_id: str
    charts: frozenset[str]


@dataclass
class Retries:
    """Which batches' ended rows may become fewer, and when. Safe for threads."""

    _running: Counter[str] = field(default_factory=Counter)
    _through: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, batch_id: str) -> None:
        with self._lock:
            self._running[batch_id] += 1

    def end(self, batch_id: str) -> None:
        with self._lock:
            self._running[batch_id] -= 1
            self._through[batch_id] += 1

    def so_far(self, batch_id: str) -> int | None:
        """How many there were; None while one runs."""
        with self._lock:
            return None if self._running[batch_id] else self._through[batch_id]


class Users:
    """`poison`: filled with the pictures whose jobs are to fail. Their hosts' clocks are wrong, as the workers' are."""

    def __init__(self, stack: Stack, poison: dict[str, Fault], charts_each: int) -> None:
        self._stack, self._poison, self._charts_each = stack, poison, charts_each
        self._poisons, self._clocks = itertools.cycle(POISONS), itertools.cycle(CLOCKS_WRONG_S)
        self._folders: list[tuple[Path, frozenset[str]]] = []
        self._running: list[Command] = []
        self.orders: list[Order] = []
        self.canceled: set[str] = set()
        self.retries = Retries()
        #: What `status` said.
        self.documents: list[dict[str, Any]] = []
        #: What commands said that failed in a way in which no command may.
        self.complaints: list[str] = []
        #: How commands left.
        self.codes: Counter[tuple[str, int]] = Counter()

    def wish(self, what: str, pick: int) -> None:
        """Begin a command."""
        if what in ("submit", "submit and die"):
            self._submit([self._new_folder()], pick, dies=what == "submit and die")
        elif what == "overlap":
            older = self._folders[pick % len(self._folders)] if self._folders else self._new_folder()
            self._submit([self._new_folder(), older], pick)
        elif what == "resume":
            self._run(["resume"])
        elif self.orders:
            batch_id = self.orders[pick % len(self.orders)].batch_id
            if what == "cancel":
                self.canceled.add(batch_id)
            if what == "retry":
                self.retries.begin(batch_id)
            self._run([what, batch_id, *(["--json"] if what == "status" else [])])

    def look(self) -> None:
        """See which commands have ended; a submit that failed is run again, as its user would."""
        for command in list(self._running):
            if command.dies_after_s is not None and time.monotonic() - command.began_at > command.dies_after_s:
                command.program.kill()
            if command.program.poll() is not None:
                self._running.remove(command)
                self._ended(command, *command.program.communicate())

    @property
    def are_done(self) -> bool:
        return not self._running

    def _new_folder(self) -> tuple[Path, frozenset[str]]:
        number = len(self._folders)
        folder = self._stack.folder / f"charts-{number:04d}"
        draw_charts(folder, self._charts_each, start=number * self._charts_each)
        names = [sha256_of(path) for path in sorted(folder.rglob("*.png"))]
        self._poison.update((name, next(self._poisons)) for name in names[::_POISON_EVERY])
        self._folders.append((folder, frozenset(names)))
        return self._folders[-1]

    def _submit(self, folders: Sequence[tuple[Path, frozenset[str]]], pick: int, *, dies: bool = False) -> None:
        paths = [str(folder) for folder, _ in folders]
        charts = frozenset[str]().union(*(names for _, names in folders))
        dies_after_s = 0.3 + pick % 15 / 10 if dies else None
        self._run(["submit", *paths, "-p", PROMPTS[pick % len(PROMPTS)], "-q"], charts, dies_after_s)

    def _run(
        self, args: Sequence[str], charts: frozenset[str] = frozenset(), dies_after_s: float | None = None
    ) -> None:
        process = self._stack.launch(*program(next(self._clocks)), *args)
        self._running.append(Command(args, process, time.monotonic(), charts, dies_after_s))

    def _ended(self, command: Command, said: str, complained: str) -> None:
        what, code = command.args[0], command.program.returncode
        self.codes[what, code] += 1
        if what == "retry":
            self.retries.end(command.args[1])
        killed = code == -signal.SIGKILL and command.dies_after_s is not None
        if "Traceback" in complained or not (killed or code in (0, 1)):
            self.complaints.append(f"{' '.join(command.args)} left with {code}: {complained[-500:]}")
        if what == "submit" and code == 0:
            self.orders.append(Order(said.strip(), command.charts))
        elif what == "submit":
            self._run(command.args, command.charts)
        elif what == "status" and code == 0:
            self.documents.append(json.loads(said))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
