"""Who is told how a worker's loop goes: the stamp that `chartq health` looks at, the counters of `--metrics-port`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.ledger import StartedJob
from worker.engine.exchange import Lease
from worker.engine.settlement import FinishedExecution


def _nothing(*_told: Any) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Called from the loop's own thread: none of these raises, waits or takes long."""

    #: A round of the loop begins.
    polled: Callable[[], None] = _nothing
    #: A job was taken, and its call is about to begin.
    started: Callable[[Lease, StartedJob], None] = _nothing
    #: An execution's end stands in the ledger.
    ended: Callable[[FinishedExecution], None] = _nothing


NO_HOOKS = Hooks()
