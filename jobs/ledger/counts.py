"""Where batches stand: kept with each batch, and changed in the transaction that changes its rows.

Nothing is counted when somebody asks, so a batch of a million is told as quickly as one of ten. Two ways lead there:

- a worker's reports change jobs one by one: `note_changes` works out from each job's state before and after what its
  members' batches gain and lose;
- whatever changes many rows at once runs within `recounted`, which counts the rows concerned before and after.

Locks are taken in one order everywhere: jobs by row, then counts by batch, then batches by row.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobs.core.finish_reason import is_cut_off
from jobs.core.job import ENDED_STATES, OPEN_STATES
from jobs.ledger.member_status import member_status_of
from jobs.ledger.records import Batch, Counts
from jobs.ledger.state_machine import State
from jobs.ledger.transaction import Row, Transaction

#: What a batch's counts are sums of.
_STATES = (*OPEN_STATES, *ENDED_STATES)
_SUMS = (*_STATES, "cut_off", "prompt_tokens", "completion_tokens")

#: The pace is that of the last minute; where the provider has refused calls, of the last ten: a minute may be a burst.
RECENT_S, LATELY_S = 60, 600


@dataclass
class Change:
    """What a batch gains or loses, by the names of its counts; `ended_at`: when a row of it ended."""

    sums: Counter[str] = field(default_factory=Counter)
    ended_at: float | None = None

    def add(self, status: str, rows: int, *, cut_off: int, prompt_tokens: int, completion_tokens: int) -> None:
        """`rows` members stand there now; negative: they don't any more. The others are sums over these rows."""
        self.sums[status] += rows
        if status == "finished":
            self.sums["cut_off"] += cut_off
            self.sums["prompt_tokens"] += prompt_tokens
            self.sums["completion_tokens"] += completion_tokens

    def saw(self, ended_at: float | None) -> None:
        if ended_at is not None:
            self.ended_at = ended_at if self.ended_at is None else max(self.ended_at, ended_at)

    @property
    def ended(self) -> int:
        """Rows that have finished or failed with it."""
        return self.sums["finished"] + self.sums["failed"]


Changes = dict[int, Change]


def note_starts(tx: Transaction, started: Sequence[tuple[int, str]]) -> None:
    """Jobs (row id, the open status they had) are started now."""
    statuses = {job: status for job, status in started if status != "started"}
    changes: Changes = defaultdict(Change)
    for claim in tx.rows("claims_of", jobs=list(statuses)) if statuses else ():
        if claim.ended is None:
            changes[claim.batch].sums[statuses[claim.job]] -= claim.rows
            changes[claim.batch].sums["started"] += claim.rows
    _apply(tx, changes)


def note_changes(tx: Transaction, changed: Sequence[tuple[State, State]], now: float) -> Changes:
    """Jobs are not in the first state any more but in the second. Returns what their batches gained."""
    changes: Changes = defaultdict(Change)
    states = {new.id: (old, new) for old, new in changed}
    for claim in tx.rows("claims_of", jobs=list(states)):
        old, new = states[claim.job]
        change = changes[claim.batch]
        for state, sign in ((old, -claim.rows), (new, claim.rows)):
            change.add(
                member_status_of(state.status, claim.ended),
                sign,
                cut_off=sign * is_cut_off(state.finish_reason),
                prompt_tokens=sign * (state.prompt_tokens or 0),
                completion_tokens=sign * (state.completion_tokens or 0),
            )
        if member_status_of(new.status, claim.ended) in ("finished", "failed"):
            change.saw(new.finished_at)
    _apply(tx, changes)
    _note_pace(tx, changes, now)
    return changes


@contextmanager
def recounted(
    tx: Transaction, jobs: Iterable[int], *, newcomers_of: int | None = None
) -> Iterator[Callable[[Iterable[int]], Changes]]:
    """Count the members of jobs (row ids, locked by this transaction) before and after the block, in all batches.

    The block gets a function that ends the counting: called once, with jobs that have come to it meanwhile. Of these
    only the batch `newcomers_of` has gained something: another submit may have written them at the same moment, and
    has counted its own.
    """
    before_jobs = set(jobs)
    before = _tally(tx, before_jobs)
    done: list[Changes] = []

    def settle(more: Iterable[int] = ()) -> Changes:
        changes: Changes = defaultdict(Change)
        came = [row for row in _tally(tx, set(more) - before_jobs) if row.batch == newcomers_of]
        for row, sign in [*((row, -1) for row in before), *((row, 1) for row in [*_tally(tx, before_jobs), *came])]:
            status = member_status_of(row.status, row.ended)
            changes[row.batch].add(
                status,
                sign * row.rows,
                cut_off=sign * int(row.cut_off),
                prompt_tokens=sign * int(row.prompt_tokens),
                completion_tokens=sign * int(row.completion_tokens),
            )
            if sign > 0 and status in ("finished", "failed"):
                changes[row.batch].saw(row.last_ended_at)
        _apply(tx, changes)
        done.append(changes)
        return changes

    yield settle
    if not done:
        settle()


def read(tx: Transaction, some: Sequence[Batch | Row], *, recent_since: float) -> dict[int, Counts]:
    """Where each of the batches stands at one moment, by its row id; without those that were deleted."""
    ids = [batch.id for batch in some]
    found = {row.batch: row for row in tx.rows("counts", batches=ids)}
    since = {"since": int(recent_since), "lately_since": int(recent_since) + RECENT_S - LATELY_S}
    pace = {row.batch: row for row in tx.rows("pace", batches=ids, **since)}
    return {batch: _counts(found[batch], pace.get(batch)) for batch in ids if batch in found}


def _counts(row: Row, pace: Row | None) -> Counts:
    states = {state: getattr(row, state) for state in _STATES}
    return Counts(
        total=sum(states.values()),
        **states,
        cut_off=row.cut_off,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        recent_ended=0 if pace is None else int(pace.recently),
        lately_ended=0 if pace is None else int(pace.lately),
        last_ended_at=row.last_ended_at,
    )


def _tally(tx: Transaction, jobs: set[int]) -> list[Row]:
    return tx.rows("tally", jobs=sorted(jobs)) if jobs else []


def _apply(tx: Transaction, changes: Mapping[int, Change]) -> None:
    tx.run_many(
        "change_counts",
        [
            {"batch": batch, "last_ended_at": change.ended_at, **{name: change.sums[name] for name in _SUMS}}
            for batch, change in sorted(changes.items())
            if any(change.sums.values()) or change.ended_at is not None
        ],
    )


def _note_pace(tx: Transaction, changes: Mapping[int, Change], now: float) -> None:
    ended = {batch: change.ended for batch, change in sorted(changes.items()) if change.ended > 0}
    second = int(now)
    tx.run_many("add_to_pace", [{"batch": one, "second": second, "ended": rows} for one, rows in ended.items()])
    if second % 60 == 0:
        tx.run_many("forget_pace", [{"batch": one, "before": second - LATELY_S} for one in ended])
