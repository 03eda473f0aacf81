"""Random walks through all that a ledger does: invariants at every step, and both stores in step."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.stores import finished, id_of, members_of, new_store, open_batch

from jobs.core.job import ENDED_STATES, OPEN_STATES
from jobs.ledger import Batch, Change, Failed, Ledger, ResultRow, Returned

CHARTS = "abcdefgh"
EXECUTIONS = ("e1", "e2")
STEPS = 100

#: Why answers ended: of themselves, and cut off as servers spell it.
REASONS = (None, "stop", "length", "FinishReason.MAX_TOKENS", "max-tokens", "ERROR_LIMIT")

#: Something to do: the batch whose ended rows it may open again, and what the ledger answered.
Act = Callable[[], tuple[Batch | None, object]]


class Walk:
    """One ledger, led through the steps that a random generator draws; `now` is the number of the step."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.draw = random.Random(seed)
        self.batches: list[Batch] = []
        self.now = 0

    def step(self) -> object:
        """One random thing. Returns what it answered, in a form that is the same on every store."""
        self.now += 1
        acts: list[Act] = [self.submit, self.add_again, self.retry, self.cancel]
        acts += [self.start, self.record, self.lose, self.give_back, self.resume]
        act = self.draw.choices(acts, [3, 1, 1, 1, 8, 8, 1, 1, 1])[0]
        before = {batch.id: self.ended(batch) for batch in self.batches}
        changed, answer = act()
        self.check(before, changed)
        return answer

    def submit(self) -> tuple[Batch | None, object]:
        limit = self.draw.choice([None, "1", "2", "50%"])
        batch = open_batch(self.ledger, now=self.now, max_failures=limit)
        self.batches.append(batch)
        return batch, self.add(batch)

    def add_again(self) -> tuple[Batch | None, object]:
        """A submit that is run again, perhaps with other files, perhaps with --refresh."""
        batch = self.draw.choice(self.batches) if self.batches else None
        if batch is None or self.ledger.batch(batch.batch_id).canceled_at is not None:
            return None, None
        return batch, self.add(batch)

    def add(self, batch: Batch) -> object:
        charts = self.draw.sample(CHARTS, self.draw.randint(1, 6))
        if self.draw.random() < 0.5:
            charts.append(f"twin={charts[0]}")
        return self.ledger.add_members(
            batch,
            members_of(charts),
            refresh=self.draw.random() < 0.3,
            count_rehearsals=self.draw.random() < 0.5,
            now=self.now,
        )

    def retry(self) -> tuple[Batch | None, object]:
        batch = self.draw.choice(self.batches) if self.batches else None
        return batch, batch and self.ledger.retry(batch, self.now)

    def cancel(self) -> tuple[Batch | None, object]:
        batch = self.draw.choice(self.batches) if self.batches else None
        if batch is None:
            return None, None
        canceled = self.ledger.cancel(batch, self.now)
        kept = [(job, self.number_of(batch_id)) for job, batch_id in canceled.kept]
        return None, (canceled.count, kept)

    def start(self) -> tuple[Batch | None, object]:
        claims = [
            (id_of(chart), self.draw.choice(EXECUTIONS)) for chart in self.draw.sample(CHARTS, self.draw.randint(1, 4))
        ]
        started = self.ledger.start(claims, self.now)
        held = {batch.batch_id for batch in self.ledger.held()}
        assert not held & {job.batch_id for job in started.values()}
        return None, sorted(started)

    def record(self) -> tuple[Batch | None, object]:
        changes = [self.change(chart) for chart in self.draw.choices(CHARTS, k=self.draw.randint(1, 4))]
        return None, sorted(self.ledger.record(changes, self.now))

    def change(self, chart: str) -> Change:
        execution = self.draw.choice(EXECUTIONS)
        common: dict[str, Any] = {"job_id": id_of(chart), "execution_id": execution}
        match self.draw.choice(["finished", "failed", "queued", "scheduled"]):
            case "finished":
                done = finished(chart, f"{self.now}", execution, rehearsal=self.draw.random() < 0.2)
                tokens, reason = self.draw.choice([None, 0, 5, 70]), self.draw.choice(REASONS)
                return replace(done, answer=replace(done.answer, prompt_tokens=tokens, finish_reason=reason))
            case "failed":
                return Failed(**common, error_type="ImageError", message="broken")
            case "queued":
                return Returned(**common, status="queued", attempts_spent=1)
            case _:
                return Returned(**common, status="scheduled", throttled=1)

    def lose(self) -> tuple[Batch | None, object]:
        losses = [(id_of(chart), self.draw.choice(EXECUTIONS)) for chart in self.draw.sample(CHARTS, 3)]
        lost = self.ledger.lose(losses, max_losses=1, now=self.now)
        return None, (sorted(lost.again), sorted(lost.failed))

    def give_back(self) -> tuple[Batch | None, object]:
        self.ledger.give_back_attempts({id_of(chart): 1 for chart in self.draw.sample(CHARTS, 3)})
        return None, None

    def resume(self) -> tuple[Batch | None, object]:
        batch = self.draw.choice(self.batches) if self.batches else None
        return None, batch and self.ledger.resume(batch)

    def number_of(self, batch_id: str) -> int:
        """Batch ids are drawn at random; their order of opening is not."""
        return [batch.batch_id for batch in self.batches].index(batch_id)

    def ended(self, batch: Batch) -> int:
        counts = self.ledger.counts(batch, recent_since=0)
        return counts.finished + counts.failed + counts.canceled

    def check(self, before: dict[int, int], changed: Batch | None) -> None:
        rows = {batch.id: list(self.ledger.results(batch)) for batch in self.batches}
        for batch in self.batches:
            self.check_counts(batch, rows[batch.id])
            if changed is None or batch.id != changed.id:
                assert self.ended(batch) >= before[batch.id], "an ended row opened again"
        wanted = {row.job_id for all_rows in rows.values() for row in all_rows if row.status in OPEN_STATES}
        open_now = {job.job_id for job in self.ledger.open_jobs(0, 100) if job.status != "started"}
        started = {job.job_id for job in self.ledger.open_jobs(0, 100) if job.status == "started"}
        assert open_now <= wanted <= open_now | started, "a job that waits, and one who waits for it"
        held = {batch.id for batch in self.ledger.held()}
        called_for = {
            row.job_id
            for batch, its_rows in rows.items()
            for row in its_rows
            if batch not in held and row.status in OPEN_STATES
        }
        named = {job.job_id for job in self.ledger.open_jobs(0, 100) if job.batch_id}
        assert named == called_for, "what may be called is what a batch wants that is not on hold"

    def check_counts(self, batch: Batch, rows: list[ResultRow]) -> None:
        counts = self.ledger.counts(batch, recent_since=0)
        states = {state: getattr(counts, state) for state in (*OPEN_STATES, *ENDED_STATES)}
        assert sum(states.values()) == counts.total == len(rows)
        assert +Counter(states) == Counter(row.status for row in rows)
        assert counts.prompt_tokens == sum(row.prompt_tokens or 0 for row in rows)
        assert counts.completion_tokens == sum(row.completion_tokens or 0 for row in rows)
        assert counts.cut_off == sum(row.finish_reason in REASONS[2:] for row in rows)
        ends = [row.finished_at for row in rows if row.status in ("finished", "failed") and row.finished_at is not None]
        assert (counts.last_ended_at or 0) >= max(ends, default=0)
        for row in rows:
            assert (row.text is not None) == (row.status == "finished")
            assert row.error is not None or row.status != "failed"

    def view(self) -> object:
        """All that can be read, for comparison between stores."""
        holds = [batch.hold and batch.hold.since for batch in self.ledger.batches()]
        return holds, [
            (list(self.ledger.results(batch)), self.ledger.counts(batch, recent_since=self.now - 5))
            for batch in self.batches
        ]


@pytest.mark.parametrize("seed", range(3))
def test_counts_add_up_and_ended_rows_stay_ended(seed: int, tmp_path: Path) -> None:
    with Ledger.open(new_store("sqlite", tmp_path)) as ledger:
        walk = Walk(ledger, seed)
        for _ in range(STEPS):
            walk.step()


def test_both_stores_answer_alike(tmp_path: Path) -> None:
    with (
        Ledger.open(new_store("sqlite", tmp_path)) as one,
        Ledger.open(new_store("postgresql", tmp_path)) as two,
    ):
        walks = [Walk(one, 100), Walk(two, 100)]
        for _ in range(STEPS):
            answers = [walk.step() for walk in walks]
            assert answers[0] == answers[1]
        views = [walk.view() for walk in walks]
        assert views[0] == views[1]
