"""One question at a time, ahead of folders: somebody waits for the answer."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.charts.links import LinkedChart
from jobs.core.errors import InputError
from jobs.core.job import Question, job_id, subject_of
from jobs.lanes import LaneQueues
from jobs.ledger import Batch, Ledger, NewMember
from jobs.submit.source import row_of


@dataclass(frozen=True, kw_only=True)
class SingleQuestion:
    """A question about these charts, one or several, or none."""

    question: Question
    charts: Sequence[LinkedChart]
    #: Answers of the rehearsal server count as answers.
    count_rehearsals: bool = False

    @property
    def subject(self) -> str:
        return subject_of([chart.sha256 for chart in self.charts])

    @property
    def job_id(self) -> str:
        return job_id(self.subject, self.question.id)

    @property
    def member(self) -> NewMember:
        """The same question again is the same row."""
        return row_of(self.charts, self.question, position=_ms_of_day(), custom_id=self.job_id)


class SingleQuestions:
    """Asks them within one batch a day for each lane and asker, so that a list of batches stays one. Safe for threads.

    That batch is sealed from the beginning: it is completed whenever all that was asked so far has ended.
    """

    def __init__(self) -> None:
        self._batches: dict[tuple[str, str], Batch] = {}
        self._day = ""
        self._lock = threading.Lock()

    def ask(self, ledger: Ledger, queues: LaneQueues, asked: SingleQuestion, *, asker: str = "") -> None:
        """Into the ledger, then on the queue. What failed before is asked once more. Raises StoreError, QueueError."""
        now = queues.now()
        failed_before = ledger.job_states([asked.job_id]).get(asked.job_id) == "failed"
        batch = self._batch(ledger, asked, asker, now, anew=failed_before)
        try:
            queue = self._add(ledger, batch, asked, now)
        except InputError:  # somebody canceled today's
            batch = self._batch(ledger, asked, asker, now, anew=True)
            queue = self._add(ledger, batch, asked, now)
        queues.enqueue(queue, lane=asked.question.lane, batch_id=batch.batch_id, priority="high")

    @staticmethod
    def _add(ledger: Ledger, batch: Batch, asked: SingleQuestion, now: float) -> Sequence[str]:
        return ledger.add_members(
            batch, [asked.member], refresh=False, count_rehearsals=asked.count_rehearsals, now=now
        ).queue

    def _batch(self, ledger: Ledger, asked: SingleQuestion, asker: str, now: float, *, anew: bool) -> Batch:
        """Today's; another one for what today's has failed with, since a batch asks once."""
        key = (asker, asked.question.lane)
        with self._lock:
            today = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
            if today != self._day:
                self._day, self._batches = today, {}
            if anew or key not in self._batches:
                self._batches[key] = _open(ledger, asked.question, today, asker, now)
            return self._batches[key]


def _open(ledger: Ledger, question: Question, today: str, asker: str, now: float) -> Batch:
    batch = ledger.open_batch(
        question=question,
        name=f"single questions of {today}",
        fingerprint="single questions",
        sources=["single questions"],
        priority="high",
        now=now,
        owner=asker,
    )
    ledger.seal(batch, now)
    return batch


def _ms_of_day() -> int:
    """Rows stand in the order in which they were asked."""
    return int(time.time() * 1000) % 86_400_000
