"""Says in the worker's log who has paused or limited what, as soon as a worker notices."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from jobs.core.controls import EVERYTHING, NO_CONTROLS, Controls
from worker.engine.event_log import log


def told(read: Callable[[], Controls]) -> Callable[[], Controls]:
    """`read`, and a line in the log for all that has changed since it was called last."""
    known = NO_CONTROLS

    def read_and_tell() -> Controls:
        nonlocal known
        before, known = known, read()
        for subject, line in changes(before, known, time.time()):
            log.info("%s", line, extra={"event": "control", "subject": subject})
        return known

    return read_and_tell


def changes(before: Controls, after: Controls, now: float) -> Iterator[tuple[str, str]]:
    """What is controlled in another way than before, each with a line about it."""
    for subject, pause in _changed(before.pauses, after.pauses):
        name = "everything" if subject == EVERYTHING else subject
        yield subject, f"{name}: {pause.message(now) if pause else 'not paused any more'}"
    for model, limit in _changed(before.limits, after.limits):
        yield f"model {model}", f"model {model}: {f'limit {limit.text()}' if limit else 'no limit any more'}"


def _changed(before: Any, after: Any) -> Iterator[tuple[str, Any]]:
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield key, after.get(key)
