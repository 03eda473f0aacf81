"""What the provider says of itself, asked for now and then: a page asks for every batch that it shows."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jobs.batches.cost import PricesOf
from jobs.config.settings import Settings
from jobs.core.job import Question
from jobs.core.money import Price

#: Seconds for which the list of models, and prices, are believed.
_MODELS_FRESH_S, _PRICES_FRESH_S = 300.0, 600.0

T = TypeVar("T")

#: What the provider serves, as model ids; empty if it doesn't tell. Never raises.
ListModels = Callable[[], Sequence[str]]


class Provider:
    """Remembers what was told. Safe for threads."""

    def __init__(self, list_models: ListModels, prices_of: PricesOf) -> None:
        self._list_models, self._prices_of, self._lock = list_models, prices_of, threading.Lock()
        #: By what was asked: until when it is believed (monotonic), and the answer.
        self._told: dict[str, tuple[float, Any]] = {}

    def models(self) -> Sequence[str]:
        """Empty if nobody tells; who tells no more is believed as before."""
        return self._remembered("models", _MODELS_FRESH_S, lambda before: self._list_models() or before or ())

    def prices(self, settings: Settings, question: Question) -> Sequence[Price]:
        """A `PricesOf`."""
        return self._remembered(question.lane, _PRICES_FRESH_S, lambda _: self._prices_of(settings, question))

    def _remembered(self, what: str, fresh_s: float, ask: Callable[[T | None], T]) -> T:
        with self._lock:
            until, told = self._told.get(what, (0.0, None))
            if time.monotonic() >= until:
                told = ask(told)
                self._told[what] = (time.monotonic() + fresh_s, told)
            answer: T = told
            return answer
