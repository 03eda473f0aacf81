"""A second project that was pointed at our Redis by mistake: with a home, a store, charts and a token of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from support.stack import Finished, Program, Stack, draw_charts, finish

from jobs.ledger import Counts, Ledger
from worker.rehearsal import ParsedRequest

#: Made up. The provider's record tells by it whose a call was.
TOKEN = "hf_ChaosRunTokenOfAnotherProject"

#: Its charts are none of ours.
_CHARTS, _FIRST_CHART = 5, 60_000


@dataclass(frozen=True)
class Visit:
    """One command of it, and how that ended."""

    command: Sequence[str]
    ended: Finished


class Stranger:
    """`stack`: its own. It has jobs that wait, as it would: from when it had a Redis of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._charts = draw_charts(stack.folder / "charts", _CHARTS, start=_FIRST_CHART)
        stack.submit(self._charts, REDIS_URL="")
        self._running: list[tuple[Sequence[str], Program]] = []
        self.visits: list[Visit] = []
        self.counts_before = self.counts()

    def come(self) -> None:
        """Everything that would take jobs from our Redis, or bring some."""
        for command in (("submit", str(self._charts), "-p", "Why?"), ("resume",), ("worker",)):
            self._running.append((command, self._stack.start(*command)))

    def look(self) -> None:
        """See which commands have ended. None goes on to work: who is not refused stays here, and that is seen."""
        for command, process in list(self._running):
            if process.poll() is not None:
                self._running.remove((command, process))
                self.visits.append(Visit(command, finish(process)))

    @property
    def is_there(self) -> bool:
        return bool(self._running)

    @property
    def fingerprint(self) -> str:
        """Of its token, as the provider notes it."""
        return ParsedRequest(kind="chat", model="", token=TOKEN).token_fingerprint or ""

    @property
    def label(self) -> str:
        """Its store, as people are told of it."""
        with Ledger.open(self._stack.results_url) as ledger:
            return ledger.label

    def counts(self) -> list[Counts]:
        """Of all its batches."""
        with Ledger.open(self._stack.results_url) as ledger:
            return [ledger.counts(batch, recent_since=0) for batch in ledger.batches()]

    def job_ids(self) -> list[str]:
        with Ledger.open(self._stack.results_url) as ledger:
            return [row.job_id for batch in ledger.batches() for row in ledger.results(batch)]
