"""What the providers take, asked for now and then: a page asks for every batch that it shows."""

import threading
import time
from collections.abc import Sequence

from jobs.batches.cost import PricesOf
from jobs.config.settings import Settings
from jobs.core.job import Question
from jobs.core.money import Price

#: Seconds for which prices are believed.
_FRESH_S = 600.0


class PriceList:
    """A `PricesOf` that remembers. Safe for threads."""

    def __init__(self, ask: PricesOf) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._known: dict[str, tuple[float, Sequence[Price]]] = {}

    def __call__(self, settings: Settings, question: Question) -> Sequence[Price]:
        with self._lock:
            until, prices = self._known.get(question.lane, (0.0, ()))
            if time.monotonic() >= until:
                prices = self._ask(settings, question)
                self._known[question.lane] = (time.monotonic() + _FRESH_S, prices)
            return prices
