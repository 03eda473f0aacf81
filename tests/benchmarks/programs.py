"""Processes under measurement: weighed through /proc (so Linux only), and never left behind."""

import ctypes
import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2): grandchildren whose parent is gone become ours
_PSS_EVERY_S = 0.5


class Program:
    """A process with all its descendants."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdout: int | None = None
    ) -> None:
        self.log = folder / f"{Path(command[0]).name}-{os.urandom(3).hex()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    def cpu_s(self) -> float:
        """User and system time so far, of ended children too."""
        return sum(_cpu_s(pid) for pid in family(self.process.pid))

    def pss_bytes(self) -> int:
        """Its share of the machine's memory: shared pages are divided among their users."""
        return sum(_pss_bytes(pid) for pid in family(self.process.pid))

    def kill(self) -> None:
        for pid in family(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


class PeakMemory:
    """Looks at a program's memory twice a second until told to stop."""

    def __init__(self, program: Program) -> None:
        self._program, self._done = program, threading.Event()
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self.peak_bytes

    def _look(self) -> None:
        while not self._done.wait(_PSS_EVERY_S):
            self.peak_bytes = max(self.peak_bytes, self._program.pss_bytes())


@contextmanager
def started(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdout: int | None = None
) -> Iterator[Program]:
    """A program that is killed at the end, with whatever it has started."""
    program = Program(command, folder=folder, environment=environment, stdout=stdout)
    try:
        yield program
    finally:
        program.kill()


@contextmanager
def no_orphans() -> Iterator[None]:
    """At the end kills every process that anybody below us has started."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        while left := family(os.getpid())[1:]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)


def family(root: int) -> list[int]:
    """A process and its descendants, parents first."""
    children = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children[int(fields[1])].append(int(entry))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _stat(pid: int) -> list[str]:
    """proc_pid_stat(5) from its third field (state) on; empty if the process is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS_PER_S  # utime, stime, cutime, cstime


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
