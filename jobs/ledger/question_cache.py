"""The questions that were used last, in memory: a worker needs one for each call."""

import threading
from collections import OrderedDict

from jobs.core.job import Question

#: Questions kept in memory per process; a prompt may have 100 kB.
_KEPT = 256


class Questions:
    """The questions of one ledger, the last ones used kept in memory. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Question] = OrderedDict()

    def kept(self, question_id: str) -> Question | None:
        """The question, if it is in memory."""
        with self._lock:
            if question_id in self._kept:
                self._kept.move_to_end(question_id)
            return self._kept.get(question_id)

    def keep(self, question_id: str, question: Question) -> None:
        with self._lock:
            self._kept[question_id] = question
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
