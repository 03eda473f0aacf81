"""The program as a user runs it: real processes, a home of their own, the rehearsal server as the provider."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

#: Generous: a machine under load is slow, never wrong.
PATIENCE_S = 60.0

_INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


@dataclass
class Stack:
    """One home, one provider. `environment` is all that the program sees."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

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

    def start(self, *args: str, module: str = "worker.cli", **environment: str) -> "subprocess.Popen[str]":
        """Start `chartq ARGS` (or `python -m jobs` with module="jobs") in the stack's folder."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self, *args: str, expect: int | None = 0, module: str = "worker.cli", **environment: str) -> "Finished":
        """Run `chartq ARGS` to its end."""
        done = finish(self.start(*args, module=module, **environment))
        if expect is not None:
            assert done.code == expect, f"chartq {' '.join(args)} left with {done.code}\n{done.stdout}\n{done.stderr}"
        return done

    def worker(self, *args: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a worker and wait until it says that it works."""
        process = self.start("worker", *args, **environment)
        assert process.stderr is not None
        seen = ""
        while "started" not in seen:
            line = process.stderr.readline()
            assert line, f"the worker left at once: {seen}"
            seen += line
        return process

    def submit(self, *paths: Path | str, prompt: str = "Up or down?", **environment: str) -> str:
        """Submit and return the batch id."""
        done = self.run("submit", *map(str, paths), "-p", prompt, "-q", **environment)
        return done.stdout.strip()

    def status(self, id_: str, **environment: str) -> dict[str, Any]:
        return self.run("status", id_, "--json", **environment).json()

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        lines = self.run("results", batch_id).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def finish(process: "subprocess.Popen[str]", timeout_s: float = PATIENCE_S) -> Finished:
    """Wait for a program's end."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    return Finished(process.returncode, stdout, stderr)


@contextmanager
def stack(folder: Path, **environment: str) -> Iterator[Stack]:
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
