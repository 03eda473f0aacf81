"""(c) Submit and status: whether they stay quick and small with the size of the batch."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.place import Lab, Place, StuckError, opened
from benchmarks.systems import PROMPT, PROVIDER
from benchmarks.table import Table, say

_STATUS_RUNS = 5


def submit_all(lab: Lab, sizes: Sequence[tuple[int, Path]]) -> Table:
    """`sizes`: how many charts, and the folder that holds them."""
    rows = []
    for count, folder in sizes:
        for row in (_chartq, _plain, _rq):
            rows.append(row(lab, count, folder))
            say(f"  {rows[-1]}")
    columns = (
        "", "charts", "file kB", "submit s", "its CPU s", "charts/s", "peak RSS MB", "Redis bytes a job",
        "ledger bytes a job", "status s",
    )  # fmt: skip
    return Table(columns, rows)


def _chartq(lab: Lab, count: int, folder: Path) -> list[str]:
    with opened(lab, provider=[*PROVIDER, "0"]) as place:
        chartq, before = lab.chartq.program("chartq"), place.redis.asked()
        took_s, cpu_s, peak_mb, said = _timed(place, [chartq, "submit", str(folder), "-p", PROMPT, "--json"])
        batch = json.loads(said)
        if batch["queued"] != count:
            raise StuckError(f"{batch['queued']} queued of {count}")
        after = place.redis.asked()
        ledger_bytes = sum(file.stat().st_size for file in (place.folder / "home").glob("results.sqlite*"))
        status_s = median(
            _timed(place, [chartq, "status", batch["batch_id"], "--json"])[0] for _ in range(_STATUS_RUNS)
        )
    return [
        "chartq submit",
        f"{count:,}",
        _size_kb(folder),
        f"{took_s:.2f}",
        f"{cpu_s:.2f}",
        f"{count / took_s:,.0f}",
        f"{peak_mb:.0f}",
        f"{(after.used_bytes - before.used_bytes) / count:,.0f}",
        f"{ledger_bytes / count:,.0f}",
        f"{status_s:.2f}",
    ]


def _plain(lab: Lab, count: int, folder: Path) -> list[str]:
    """What nobody can leave out: every file is read, hashed and verified, in a loop of one's own."""
    with opened(lab, provider=[*PROVIDER, "0"]) as place:
        loop = [lab.chartq.program("python"), str(Path(__file__).with_name("plain_reading.py")), str(folder)]
        took_s, cpu_s, peak_mb, _ = _timed(place, loop)
    figures = [f"{took_s:.2f}", f"{cpu_s:.2f}", f"{count / took_s:,.0f}", f"{peak_mb:.0f}"]
    return ["read, sha256 and verify in a loop", f"{count:,}", _size_kb(folder), *figures, "-", "-", "-"]


def _rq(lab: Lab, count: int, folder: Path) -> list[str]:
    """Paths only: nothing is read, checked, hashed or written down."""
    with opened(lab, provider=[*PROVIDER, "0"]) as place:
        before, paths = place.redis.asked(), sorted(folder.glob("*/*"))
        python = lab.peers.program("python")
        send = [python, "-m", "benchmarks.peers.send", "rq", "ask", place.list_of(paths)]
        took_s, cpu_s, peak_mb, _ = _timed(place, send)
        used = place.redis.asked().used_bytes - before.used_bytes
    cells = [f"{took_s:.2f}", f"{cpu_s:.2f}", f"{count / took_s:,.0f}", f"{peak_mb:.0f}", f"{used / count:,.0f}"]
    return ["rq enqueue_many, paths only", f"{count:,}", "-", *cells, "-", "-"]


def _timed(place: Place, command: Sequence[str]) -> tuple[float, float, float, str]:
    """Seconds from start to end, the process's CPU seconds and peak memory in MB, and what it said."""
    started = time.monotonic()
    with (place.folder / "said").open("w+") as said:
        process = subprocess.Popen(command, cwd=place.folder, env=place.environment, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - started
        if process.returncode:
            raise StuckError(f"{command[:3]} left with {process.returncode}")
        said.seek(0)
        return took_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000, said.read()


def _size_kb(folder: Path) -> str:
    return f"{next(folder.glob('*/*')).stat().st_size / 1000:.0f}"
