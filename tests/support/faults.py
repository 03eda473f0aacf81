"""Rules for the rehearsal server's `fault_for`: which calls fail, and how."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from worker.rehearsal import Fault, ParsedRequest

Rule = Callable[[ParsedRequest], Fault | None]


def by_prompt(faults: Mapping[str, Fault]) -> Rule:
    """By a part of the prompt."""
    return lambda asked: next((fault for part, fault in faults.items() if part in asked.prompt), None)


def by_image(faults: Mapping[Path, Fault]) -> Rule:
    """By the chart, which is sent as it is."""
    by_hash = {hashlib.sha256(chart.read_bytes()).hexdigest(): fault for chart, fault in faults.items()}
    return lambda asked: by_hash.get(asked.image_sha256 or "")
