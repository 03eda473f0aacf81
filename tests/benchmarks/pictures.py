"""(f) What the preparation of a picture costs, beside the code that decoded every file: both in turns, in one run."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import click
from tools.render_charts import DARK, LIGHT, Chart, draw

from benchmarks.table import Table, say
from benchmarks.venvs import ROOT

#: The last commit before files within the limits were sent undecoded.
BEFORE = "56c4621"

SIZES = ((640, 400), (1280, 800), (1920, 1080), (2560, 1440), (3840, 2160))
_FORMATS: dict[str, dict[str, Any]] = {
    "png": {},
    "jpg": {"quality": 90},
    "webp": {"quality": 85},
    "avif": {"quality": 80},
}


def compare_pictures(folder: Path, sizes: Sequence[tuple[int, int]], rounds: int) -> Table:
    """Every size in every format, before and after."""
    files = [file for number, size in enumerate(sizes) for file in _draw(folder, size, dark=number % 2 == 0)]
    old = _checked_out(folder / "before")
    rows = []
    for file in files:
        found: dict[Path, list[tuple[float, int]]] = {old: [], ROOT: []}
        for _ in range(rounds + 2):
            for code, of_it in found.items():
                of_it.extend(costs(code, [file]))
        rows.append(_row(file, *(min(of_it) for of_it in found.values())))  # what was least disturbed by others
        say(f"  {rows[-1]}")
    columns = ("picture", "format", "kB", "kB sent before", "kB sent", "CPU ms before", "CPU ms", "ratio")
    return Table(columns, rows, [f"Before: commit {BEFORE}. The least of {rounds + 2} rounds."])


def costs(code: Path, files: Sequence[Path]) -> list[tuple[float, int]]:
    """CPU ms and bytes sent of each, as the code in that folder does it, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{code}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-P", "-m", "benchmarks.picture_cost", *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [(float(ms), int(sent)) for ms, sent in map(str.split, done.stdout.splitlines())]


def _draw(folder: Path, size: tuple[int, int], *, dark: bool) -> list[Path]:
    chart = Chart(
        file=f"{size[0]}x{size[1]}", title="NOVA Robotics", trend="up", size=size, theme=DARK if dark else LIGHT,
        bars=size[0] // 10, start_price=84, averages=(10, 30), volume=True, rsi=True, bands=True,
    )  # fmt: skip
    image, files = draw(chart), [folder / f"{chart.file}.{suffix}" for suffix in _FORMATS]
    for file, options in zip(files, _FORMATS.values(), strict=True):
        image.save(file, **options)
    return files


def _checked_out(folder: Path) -> Path:
    done = subprocess.run(["git", "archive", BEFORE, "jobs", "worker"], cwd=ROOT, capture_output=True)
    if done.returncode:
        raise click.ClickException(f"the comparison needs the commit {BEFORE}: run it in a clone with its history")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _row(file: Path, before: tuple[float, int], now: tuple[float, int]) -> list[str]:
    width, height = file.stem.split("x")
    return [
        f"{width} x {height}",
        {"jpg": "JPEG", "webp": "WebP"}.get(file.suffix[1:], file.suffix[1:].upper()),
        *(f"{count / 1000:.0f}" for count in (file.stat().st_size, before[1], now[1])),
        *(f"{ms:.2f}" for ms in (before[0], now[0])),
        f"{now[0] / before[0]:.2f}",
    ]
