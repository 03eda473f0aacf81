"""The program as a user runs it: real processes, a home of their own, the rehearsal server as the provider."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from redis import Redis

from jobs.batches.documents import result_document
from jobs.broker.embedded import embedded_redis
from jobs.core.text import dumps
from jobs.ledger import Counts, Ledger

#: Generous: a machine under load is slow, never wrong. What must not be waited for takes longer than this.
PATIENCE_S = 120.0

# A shell that runs the tests in the background has them, and so our programs, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class Program(subprocess.Popen[str]):
    """A program that runs for long: what it says on stderr goes to a file, so that it never waits for a reader."""

    log: Path | None = None

    @property
    def said(self) -> str:
        """Its stderr so far."""
        return self.log.read_text(errors="replace") if self.log else ""


@dataclass
class Stack:
    """One home, one provider. `environment` is all that the program sees."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.environment = {
            **inherited,
            "CHARTQ_HOME": str(self.folder / "home"),
            "CHARTQ_REHEARSAL": "1",
            "NO_COLOR": "1",
            **self.environment,
        }

    @property
    def home(self) -> Path:
        return Path(self.environment["CHARTQ_HOME"])

    def start(self, *args: str, module: str = "worker.main", **environment: Any) -> Program:
        """Start `chartq ARGS` (or `python -m jobs` with module="jobs") in the stack's folder."""
        return self.launch("-m", module, *args, **environment)

    def launch(self, *args: str, log: Path | None = None, **environment: Any) -> Program:
        """Start `python ARGS` in the stack's folder; its stderr goes to `log`, if given."""
        with log.open("wb") if log else nullcontext(subprocess.PIPE) as stderr:
            process = Program(
                [sys.executable, *args],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        process.log = log
        self.processes.append(process)
        return process

    def run(self, *args: str, expect: int | None = 0, module: str = "worker.main", **environment: Any) -> "Finished":
        """Run `chartq ARGS` to its end."""
        done = finish(self.start(*args, module=module, **environment))
        if expect is not None:
            assert done.code == expect, f"chartq {' '.join(args)} left with {done.code}\n{done.stdout}\n{done.stderr}"
        return done

    def worker(self, *args: str, script: Path | None = None, **environment: Any) -> Program:
        """Start a worker (or a script that is one) and wait until it says that it works."""
        log = self.folder / f"worker-{len(self.processes)}.log"
        command = [str(script)] if script else ["-m", "worker.main", "worker"]
        process = self.launch(*command, *args, log=log, **environment)
        eventually(lambda: "started" in process.said or process.poll() is not None)
        assert process.poll() is None or "started" in process.said, f"the worker left at once: {process.said}"
        return process

    def redis(self) -> Redis:
        """A client of the embedded server, which runs as long as one of our programs does."""
        return Redis(unix_socket_path=(self.home / "redis" / "server.lock").read_text())

    def submit(self, *paths: Path | str, prompt: str = "Up or down?", **environment: Any) -> str:
        """Submit and return the batch id."""
        done = self.run("submit", *map(str, paths), "-p", prompt, "-q", **environment)
        return done.stdout.strip()

    def wait(self, batch_id: str, *, expect: int = 0, **environment: Any) -> "Finished":
        """Wait until the batch has ended, or is on hold (`expect=3`)."""
        return self.run("wait", batch_id, "--timeout", str(PATIENCE_S - 20), expect=expect, **environment)

    def status(self, id_: str) -> dict[str, Any]:
        return self.run("status", id_, "--json").json()

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        """What `chartq results` prints, read from the store itself: a process each time would cost seconds."""
        with closing(Ledger.open(self.results_url)) as ledger:
            documents = map(result_document, ledger.results(ledger.batch(batch_id)))
            return [json.loads(dumps(document)) for document in documents]

    def counts(self, batch_id: str) -> Counts:
        """How many of a batch's rows stand where, read likewise."""
        with closing(Ledger.open(self.results_url)) as ledger:
            return ledger.counts(ledger.batch(batch_id), recent_since=0)

    @property
    def results_url(self) -> str:
        return self.environment.get("RESULTS_URL", f"sqlite:///{self.home / 'results.sqlite'}")

    @contextmanager
    def locked_store(self) -> Iterator[None]:
        """Somebody else writes into the results store, and takes their time."""
        with closing(sqlite3.connect(self.home / "results.sqlite", isolation_level=None, timeout=PATIENCE_S)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def close(self) -> None:
        """Kill what still runs, and end the Redis server that a killed user left behind."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if (self.home / "redis").exists():
            with embedded_redis(self.home):
                pass


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def finish(process: "subprocess.Popen[str]", timeout_s: float = PATIENCE_S) -> Finished:
    """Wait for a program's end."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    if isinstance(process, Program) and process.log:
        stderr = process.said
    return Finished(process.returncode, stdout, stderr)


@contextmanager
def stack(folder: Path, **environment: Any) -> Iterator[Stack]:
    """A stack that leaves no process behind."""
    made = Stack(folder, environment)
    try:
        yield made
    finally:
        made.close()


def eventually(what: Callable[[], bool], timeout_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait until `what()` is true; fail if it doesn't become so."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"still not so after {timeout_s} s"
        time.sleep(every_s)


def draw_charts(folder: Path, count: int, *, start: int = 0) -> Path:
    """`count` small charts, each another picture, in nested folders of ten."""
    for number in range(start, start + count):
        path = folder / f"group-{number // 10:02d}" / f"chart-{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (64, 40), "white")
        draw = ImageDraw.Draw(image)
        draw.line([(0, number % 40), (63, (number * 7) % 40)], fill=(number % 256, number // 256, 90))
        image.save(path)
    return folder
