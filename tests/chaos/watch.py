"""The watch: looks at every open batch and every worker throughout, and remembers what must not change."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.crew import Crew
from chaos.provider import number_of
from chaos.users import Retries
from jobs.batches.documents import batch_document
from jobs.core.errors import StoreError
from jobs.ledger import Batch, Counts, Ledger

_EVERY_S = 0.3
_WEIGH_EVERY_S = 1.0
#: Answers of one batch that are looked at in a round, the newest.
_ANSWERS = 20
#: Batches that are through are looked at now and then.
_THROUGH_EVERY = 20


@dataclass
class Seen:
    """What a run showed while it ran."""

    samples: int = 0
    #: Looks that the store didn't allow, being away.
    missed: int = 0
    wrong_sums: list[str] = field(default_factory=list)
    falls: list[str] = field(default_factory=list)
    changed_answers: list[str] = field(default_factory=list)
    #: Job id -> number of the call whose answer stood there first.
    answers: dict[str, int] = field(default_factory=dict)


class Watch:
    """A thread; `with` it."""

    def __init__(self, ledger: Ledger, crew: Crew, retries: Retries) -> None:
        self.seen = Seen()
        self._ledger, self._crew, self._retries = ledger, crew, retries
        self._ended: dict[str, tuple[int | None, int]] = {}
        self._through: set[str] = set()
        self._round = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._weigh_at = 0.0

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            if time.monotonic() >= self._weigh_at:
                self._crew.weigh()
                self._weigh_at = time.monotonic() + _WEIGH_EVERY_S
            try:
                self._look()
            except StoreError:
                self.seen.missed += 1

    def _look(self) -> None:
        self._round += 1
        for number, batch in enumerate(self._ledger.batches()):
            if batch.batch_id in self._through and (number + self._round) % _THROUGH_EVERY:
                continue
            retries_before = self._retries.so_far(batch.batch_id)
            counts = self._ledger.counts(batch, recent_since=0)
            self._note(batch, counts, retries_before)
            for row in self._ledger.latest(batch, _ANSWERS):
                self.note_answer(row.job_id, row.raw)

    def _note(self, batch: Batch, counts: Counts, retries_before: int | None) -> None:
        """As `status --json` says it."""
        document = batch_document(batch, counts, [], now=time.time())
        self.seen.samples += 1
        if wrong := wrong_sum(document):
            self.seen.wrong_sums.append(wrong)
        ended = counts.finished + counts.failed + counts.canceled
        known = self._ended.get(batch.batch_id)
        unchanged = retries_before is not None and retries_before == self._retries.so_far(batch.batch_id)
        if known and unchanged and known[0] == retries_before and ended < known[1]:
            self.seen.falls.append(f"{batch.batch_id}: {known[1]} rows had ended, now {ended}")
        still_open = counts.queued + counts.started + counts.scheduled
        (self._through.discard if still_open else self._through.add)(batch.batch_id)
        self._ended[batch.batch_id] = (retries_before if unchanged else None, ended)

    def note_answer(self, job_id: str, raw: Any) -> None:
        """An answer as it stands now: the first one stays."""
        number = number_of(raw)
        first = self.seen.answers.setdefault(job_id, number)
        if first != number:
            self.seen.changed_answers.append(f"{job_id}: the answer of call {first} became that of call {number}")


def wrong_sum(document: Mapping[str, Any]) -> str | None:
    """What is wrong with a status document's counts, if anything."""
    counts = dict(document["request_counts"])
    total = counts.pop("total")
    return None if sum(counts.values()) == total else f"{document['batch_id']}: {counts} make no {total}"
