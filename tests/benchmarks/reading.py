"""(e) Status, list and results: whether they stay quick and small when a batch is large. On both stores."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.postgres import new_database

from benchmarks.large_ledger import fill
from benchmarks.place import Lab, Place, StuckError, opened
from benchmarks.systems import PROVIDER
from benchmarks.table import Table, say
from jobs.batches.session import Session
from jobs.config.settings import load_settings
from jobs.ledger import Batch, Ledger

_RUNS = 5

#: This environment's chartq, which has the drivers and pyarrow.
_CHARTQ = str(Path(sys.executable).with_name("chartq"))

#: Every format, with the file that it needs if stdout won't do.
_FORMATS = {"jsonl": None, "csv": None, "markdown": None, "html": None, "parquet": "out.parquet", "openai": "out.jsonl"}


@dataclass(frozen=True)
class Sizes:
    """Rows of the small batch and of the large one, and how many other batches there are, of a hundred rows each."""

    small: int
    large: int
    others: int


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    took_s: float
    cpu_s: float
    first_byte_s: float
    peak_mb: float


def read_all(lab: Lab, sizes: Sizes) -> Table:
    rows = []
    for store in ("SQLite", "PostgreSQL"):
        with opened(lab, provider=[*PROVIDER, "0"]) as place:
            for row in _of_store(place, store, sizes):
                rows.append(row)
                say(f"  {row}")
    columns = ("", "store", "rows", "whole command s", "its CPU s", "first byte s", "peak RSS MB", "work alone ms")
    return Table(columns, rows)


def _of_store(place: Place, store: str, sizes: Sizes) -> Iterator[Sequence[str]]:
    url = f"sqlite:///{place.folder}/results.sqlite" if store == "SQLite" else new_database()
    environment = {"RESULTS_URL": url}
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(url))
        batches = [fill(ledger, sizes.small), fill(ledger, sizes.large)]
        for number in range(sizes.others):
            fill(ledger, 100, first=100 * number)
        settings = load_settings(
            env_file=None, redis_url=place.redis.url, results_url=url, chartq_home=place.folder / "home"
        )
        session = stack.enter_context(Session(settings))
        for batch in batches:
            yield _quick(place, store, environment, "status", batch, partial(session.status, batch))
        large = batches[-1]
        yield _quick(place, store, environment, "list", large, lambda: list(session.statuses(ledger.batches())))
    if store == "SQLite":
        for form in ("jsonl", "csv"):
            plain = [
                str(Path(__file__).with_name("plain_sqlite.py")),
                f"{place.folder}/results.sqlite",
                large.batch_id,
                form,
            ]
            yield _row(f"the same by a plain loop, {form}", store, large, _timed(place, [sys.executable, *plain], {}))
    for form, file in _FORMATS.items():
        for batch in batches:
            options = ["--format", form, *(["-o", file] if file else [])]
            taken = _timed(place, [_CHARTQ, "results", batch.batch_id, *options], environment)
            yield _row(f"results, {form}", store, batch, taken, to_file=file is not None)


def _row(what: str, store: str, batch: Batch, taken: Taken, *, to_file: bool = False) -> Sequence[str]:
    return [
        what,
        store,
        f"{batch.total:,}",
        f"{taken.took_s:.2f}",
        f"{taken.cpu_s:.2f}",
        "-" if to_file else f"{taken.first_byte_s:.2f}",
        f"{taken.peak_mb:.0f}",
        "-",
    ]


def _quick(
    place: Place, store: str, environment: Mapping[str, str], command: str, batch: Batch, work: Callable[[], object]
) -> Sequence[str]:
    """A command that answers at once: the best of a few runs, as others' work on the machine only ever adds."""
    words = [_CHARTQ, command, *([batch.batch_id] if command == "status" else []), "--json"]
    taken = [_timed(place, words, environment) for _ in range(_RUNS)]
    work_ms = min(_wall_s(work) for _ in range(_RUNS)) * 1000
    what = command if command == "status" else "list of all batches"
    return [
        what,
        store,
        f"{batch.total:,}",
        f"{min(one.took_s for one in taken):.2f}",
        f"{min(one.cpu_s for one in taken):.2f}",
        f"{min(one.first_byte_s for one in taken):.2f}",
        f"{min(one.peak_mb for one in taken):.0f}",
        f"{work_ms:.0f}",
    ]


def _wall_s(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _timed(place: Place, words: Sequence[str], environment: Mapping[str, str]) -> Taken:
    """What it says is read and thrown away."""
    weighed, file = Path(__file__).with_name("weighed.py"), place.folder / "weighed"
    command = [sys.executable, "-IS", str(weighed), str(file), *words]
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=place.folder,
        env=place.environment | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first_byte_s = time.monotonic() - started
        while process.stdout.read(1 << 20):
            pass
    if process.returncode:
        raise StuckError(f"{command} left with {process.returncode}")
    peak_mb, cpu_s = map(float, file.read_text().split())
    return Taken(time.monotonic() - started, cpu_s, first_byte_s, peak_mb)
