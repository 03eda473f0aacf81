"""The provider's list of models, asked for now and then."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

#: Seconds for which the list is believed.
_FRESH_S = 300.0


class ListModels(Protocol):
    """What the provider serves, as model ids; empty if it doesn't tell. Never raises."""

    def __call__(self) -> Sequence[str]: ...


class ModelList:
    """Safe for threads."""

    def __init__(self, ask: ListModels | None) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._known: Sequence[str] = ()
        self._until = 0.0

    def ids(self) -> Sequence[str]:
        """Empty if nobody tells."""
        with self._lock:
            if self._ask is not None and time.monotonic() >= self._until:
                self._known = self._ask() or self._known
                self._until = time.monotonic() + _FRESH_S
            return self._known
