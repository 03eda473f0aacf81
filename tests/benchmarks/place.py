"""Where one system is measured: a folder, a provider and a queue server of its own."""

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.programs import Program, started
from benchmarks.queue_server import QueueServer, queue_server
from benchmarks.venvs import Venv

TESTS = Path(__file__).parent.parent
_POLL_S = 0.02


class StuckError(Exception):
    """A system did not get on; the message holds what its program said."""


@dataclass(frozen=True)
class Lab:
    """What all measurements share."""

    peers: Venv
    chartq: Venv


@dataclass(frozen=True)
class Place:
    """What one system sees."""

    lab: Lab
    folder: Path
    provider_url: str
    redis: QueueServer

    @property
    def ticks(self) -> Path:
        return self.folder / "ticks"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(TESTS),
            "BENCH_URL": self.provider_url,
            "BENCH_REDIS": self.redis.url,
            "BENCH_TICKS": str(self.ticks),
            "HF_BASE_URL": f"{self.provider_url}/v1",
            "REDIS_URL": self.redis.url,
            "CHARTQ_HOME": str(self.folder / "home"),
            "CHARTQ_REHEARSAL": "1",
        }

    def run(self, command: Sequence[str], **environment: str) -> str:
        """Run a program to its end; its stdout."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True
        )
        if done.returncode:
            raise StuckError(f"{' '.join(command)[:200]}: {done.stderr[-2000:]}")
        return done.stdout

    @contextmanager
    def running(self, command: Sequence[str], **environment: str) -> Iterator[Program]:
        with started(command, folder=self.folder, environment=self.environment | environment) as program:
            yield program

    def list_of(self, paths: Sequence[Path]) -> str:
        """A file with these paths, a line each; its name."""
        file = self.folder / f"paths-{len(paths)}"
        file.write_text("\n".join(map(str, paths)))
        return str(file)

    def look_up(self, path: str) -> Any:
        """What the provider tells about itself."""
        with closing(http.client.HTTPConnection(urlsplit(self.provider_url).netloc, timeout=30)) as connection:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())


@contextmanager
def opened(lab: Lab, *, provider: Sequence[str]) -> Iterator[Place]:
    """`provider`: the command that serves; it says its URL or port first."""
    with tempfile.TemporaryDirectory(prefix="chartq-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = {"PYTHONPATH": str(TESTS), "PATH": os.environ["PATH"]}
        with (
            started(provider, folder=folder, environment=environment, stdout=subprocess.PIPE) as program,
            queue_server(folder) as redis,
        ):
            assert program.process.stdout is not None
            said = program.process.stdout.readline().decode().strip()
            url = said.removesuffix("/v1") if said.startswith("http") else f"http://127.0.0.1:{int(said)}"
            yield Place(lab, folder, url, redis)


def wait_until(true: Callable[[], bool], *, within_s: float, program: Program | None = None) -> None:
    """Raises StuckError with the end of the program's log if it does not become so in time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline or (program and not program.runs):
            raise StuckError(f"not done within {within_s:.0f} s; {program.said() if program else ''}")
        time.sleep(_POLL_S)
