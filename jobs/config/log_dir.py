"""The log files of this machine's workers: where they lie, and what they say of a batch or a job, in order of time.

Each process writes files of its own (worker/monitoring/log_file.py), a JSON object a line.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from jobs.config.settings import Settings

#: One object of a log: `ts`, `level`, `event`, `message`, and what else is known of the event.
Entry = dict[str, Any]

SUFFIX = ".jsonl"


def log_folder(settings: Settings) -> Path | None:
    """Where workers with these settings keep their logs; None: on stderr only.

    Where neither queue nor results lie in the home, others look after the machine, and collect what stands on stderr.
    """
    if settings.redis_url is not None and settings.results_url is not None:
        return None
    return settings.chartq_home / "logs"


def read_entries(folder: Path, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
    """What all processes wrote that is wanted, in order of time. Broken lines are passed over."""
    processes = groupby(sorted(folder.glob(f"*{SUFFIX}")), key=_process)
    streams = [_entries(list(files), wanted) for _, files in processes]
    return heapq.merge(*streams, key=lambda entry: str(entry["ts"]))


def _process(path: Path) -> str:
    """Files are named START-PID-RANDOM-NUMBER: all but the number is the process's."""
    return path.stem.rpartition("-")[0]


def _entries(files: Iterable[Path], wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
    return filter(wanted, chain.from_iterable(map(_of_file, files)))


def _of_file(path: Path) -> Iterator[Entry]:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # it was the oldest, and has just made room
        return
    with file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # the end of a line that a full disk or a kill cut off
                continue
            if isinstance(entry, dict) and isinstance(entry.get("ts"), str):
                yield entry
