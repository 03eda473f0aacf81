"""What was promised, and what speaks against it: pure functions of what a run has left behind."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from chaos.crew import Execution, Line, Worker
from chaos.provider import UNPROCESSABLE, Asking, Key, by_key, number_of
from chaos.stranger import Visit
from chaos.users import Order
from jobs.ledger import Counts
from worker.rehearsal.behaviour import Fault

#: Words of a worker's log that mean a fault of ours wherever they stand.
_FAULT = "a fault in chartq"

#: What a command says that finds Redis away, at its start and in the middle.
_NO_REDIS = ("can't be used: ", "Redis at ", "Redis: ")

#: A worker's memory is compared from this age on: until then caches and pools fill up.
_WARM_S = 120.0
_RSS_GROWTH, _RSS_SLACK_BYTES = 1.10, 4_000_000
#: Descriptors and threads of a worker besides those of its calls.
_OTHER_FILES, _OTHER_THREADS = 40, 12
_FILES_SLACK = 6

#: An answer is written down so soon after its call: freezes and outages are shorter, what clocks are wrong by is more.
_WRITTEN_WITHIN_S = 120.0


@dataclass
class Promise:
    """A line of the report. What it says holds if nothing speaks against it."""

    says: str
    against: list[str] = field(default_factory=list)
    figures: str = ""

    @property
    def holds(self) -> bool:
        return not self.against


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a batch's results at the end."""

    batch_id: str
    job_id: str
    key: Key
    status: str
    attempts: int
    throttled: int
    error: str | None
    raw: Any
    finished_at: float | None


def all_ended(rows: Iterable[Row], *, poison: Collection[str], canceled: Collection[str]) -> Promise:
    """Finished, or failed or canceled where the script wanted it."""
    promise = Promise("every job has ended, and exactly the poison charts have failed")
    count = 0
    for row in rows:
        count += 1
        if row.status == "finished":
            wrong = row.key[0] in poison
        elif row.status == "failed":
            wrong = row.key[0] not in poison
        else:
            wrong = row.status != "canceled" or row.batch_id not in canceled
        if wrong:
            promise.against.append(f"{row.batch_id} {row.job_id}: {row.status}, {row.error}")
    promise.figures = f"{count} rows"
    return promise


def poison_spent(
    rows: Iterable[Row], calls: Iterable[Asking], poison: Mapping[str, Fault], *, max_attempts: int
) -> Promise:
    """It failed by the provider's fault, when its attempts were used up; what can't be processed, at once.

    A row that failed shows its job's attempts, which begin anew when another batch asks it again, and then cancels.
    """
    promise = Promise("a poison chart has failed by what it got, after all its attempts and no sooner")
    rows = list(rows)
    asked, kinds = by_key(calls), Counter[Fault]()
    begun_anew = {row.job_id for row in rows if row.status == "canceled"}
    most = 0
    for row in rows:
        if row.status != "failed" or not (fault := poison.get(row.key[0])):
            continue
        kinds[fault] += 1
        most = max(most, len(asked.get(row.key, ())))
        spent = fault == UNPROCESSABLE or row.attempts == max_attempts or row.job_id in begun_anew
        if not spent or not (row.error or "").startswith("HF"):
            promise.against.append(f"{row.batch_id} {row.job_id}, {fault}: {row.attempts} attempts, {row.error}")
    told = ", ".join(f"{count} by {fault}" for fault, count in kinds.items())
    promise.figures = f"{told}; none was asked more than {most} times"
    return promise


def nothing_missing(rows: Iterable[Row], orders: Iterable[Order]) -> Promise:
    """What was submitted is in its batch."""
    promise = Promise("every chart that was submitted has its job")
    there: dict[str, set[str]] = {}
    for row in rows:
        there.setdefault(row.batch_id, set()).add(row.key[0])
    for order in orders:
        missing = order.charts - there.get(order.batch_id, set())
        if missing:
            promise.against.append(f"{order.batch_id}: {len(missing)} of {len(order.charts)} charts are missing")
    return promise


def one_answer(rows: Iterable[Row], calls: Sequence[Asking]) -> Promise:
    """The answer that a job has was given to a call about its picture and its question, and to no other."""
    promise = Promise("every job has one answer, the one that its picture and question were given")
    chosen: dict[Key, int] = {}
    for row in rows:
        if row.status != "finished":
            continue
        number = number_of(row.raw)
        asking = calls[number - 1] if number <= len(calls) else None
        if asking is None or asking.key != row.key or not asking.answered:
            promise.against.append(f"{row.job_id} has the answer of call {number}, which was not given to it")
        if chosen.setdefault(row.key, number) != number:
            promise.against.append(f"{row.job_id} has two answers: {chosen[row.key]} and {number}")
    promise.figures = f"{len(chosen)} answers"
    return promise


def repeats_explained(
    rows: Iterable[Row], calls: Sequence[Asking], executions: Mapping[str, Execution], *, timeout_s: float
) -> Promise:
    """Of a job's answers at most one came to a worker that was not hurt meanwhile, in time: that one is kept."""
    promise = Promise("answered twice is only what was in flight when its worker was hurt")
    kept = {row.key: number_of(row.raw) for row in rows if row.status == "finished"}
    at_risk = sum(
        execution.in_flight_at(moment) for execution in executions.values() for moment in execution.worker.hurt_at
    )
    repeats = late = 0
    for key, asked in by_key(calls).items():
        answered = [asking for asking in asked if asking.answered]
        in_time = [asking for asking in answered if asking.took_s < timeout_s]
        safe = [asking for asking in in_time if not _at_risk(executions.get(asking.execution))]
        repeats += max(0, len(answered) - 1)
        late += len(answered) - len(in_time)
        if len(safe) > 1 or (safe and key not in kept):
            promise.against.append(_story(key, asked, executions, kept.get(key)))
    promise.figures = f"{repeats} repeats, {late} answers after the time-out; {at_risk} calls were in flight at hurts"
    if repeats - late > at_risk:
        promise.against.append(promise.figures)
    return promise


def _at_risk(execution: Execution | None) -> bool:
    return execution is not None and execution.was_at_risk


def _came_back(execution: Execution | None) -> bool:
    return execution is not None and execution.was_at_risk and execution.written_at is not None


def _story(key: Key, asked: Sequence[Asking], executions: Mapping[str, Execution], kept: int | None) -> str:
    told = []
    for asking in asked:
        execution = executions.get(asking.execution)
        who = f"{execution.worker.program.log}, hurt at {execution.worker.hurt_at}" if execution else "nobody"
        told.append(
            f"call {asking.number} of {who}: {asking.call.at:.2f} + {asking.took_s:.2f} s {asking.call.outcome}"
        )
    return f"{key[0][:12]}: {'; '.join(told)}; kept: {kept}"


def attempts_earned(rows: Iterable[Row], calls: Sequence[Asking], executions: Mapping[str, Execution]) -> Promise:
    """A job has spent one attempt for its answer, if any, and at most one for each failed call: none for a kill.

    A worker that was frozen for longer than its call may take, and not taken over from, says it took too long.
    """
    promise = Promise("kills, freezes and outages of our own cost no attempt")
    asked = by_key(calls)
    for row in rows:
        if row.status not in ("finished", "failed"):
            continue
        mine = asked.get(row.key, ())
        refusals = sum(not asking.answered and not asking.costs_an_attempt for asking in mine)
        # Refused as the probe for the fourth time while others pass, a job is suspect: that costs.
        settled = any(asking.answered or asking.call.outcome == UNPROCESSABLE for asking in mine)
        slept = sum(asking.answered and _came_back(executions.get(asking.execution)) for asking in mine)
        earned = settled + slept + sum(asking.costs_an_attempt for asking in mine) + max(0, refusals - 3)
        if row.attempts > earned:
            promise.against.append(f"{row.job_id}: {row.attempts} attempts, {earned} were earned")
    return promise


def stranger_refused(visits: Sequence[Visit], *, labels: Collection[str]) -> Promise:
    """Each of its commands left with 1, and named both stores, unless Redis was away just then."""
    promise = Promise("a second project on our Redis is refused in a sentence that names both")
    named = 0
    for visit in visits:
        code, said = visit.ended.code, visit.ended.stderr
        names_both = all(label in said for label in labels)
        named += names_both
        if code != 1 or "Traceback" in said or not (names_both or any(words in said for words in _NO_REDIS)):
            promise.against.append(f"{' '.join(visit.command)} left with {code}: {said[-600:]}")
    promise.figures = f"{named} refusals; {len(visits) - named} commands found no Redis"
    return promise


def stranger_kept_out(
    calls: Iterable[Asking], *, fingerprint: str, before: Sequence[Counts], after: Sequence[Counts], left_in_redis: int
) -> Promise:
    """It called nobody, has no answers, and lost none of its own jobs. `left_in_redis`: its jobs that are in ours."""
    promise = Promise("it took and asked nothing, left nothing, and its own jobs still wait")
    asked = sum(asking.call.token_fingerprint == fingerprint for asking in calls)
    if asked or left_in_redis:
        promise.against.append(f"{asked} calls, {left_in_redis} of its jobs in our Redis")
    if list(before) != list(after):
        promise.against.append(f"its jobs were {before}, and are {after}")
    return promise


def dated_right(rows: Iterable[Row], calls: Sequence[Asking]) -> Promise:
    """By the clock of everybody: an answer is dated like the call that it was given to."""
    promise = Promise("what hosts with wrong clocks write down is dated right")
    most_s = 0.0
    for row in rows:
        if row.status != "finished":
            continue
        beside_s = abs((row.finished_at or 0.0) - calls[number_of(row.raw) - 1].call.at)
        most_s = max(most_s, beside_s)
        if beside_s > _WRITTEN_WITHIN_S:
            promise.against.append(f"{row.batch_id} {row.job_id} is dated {beside_s:.0f} s beside its call")
    promise.figures = f"at most {most_s:.0f} s after the call"
    return promise


def seen(says: str, against: Iterable[str], figures: str = "") -> Promise:
    """What was noted while the run went on."""
    return Promise(says, list(against), figures)


def logs_clean(workers: Iterable[Worker]) -> Promise:
    """Nothing but lines of ours, no tracebacks, no errors."""
    promise = Promise("no traceback and no error in the workers' logs")
    count = 0
    for worker in workers:
        for line in worker.lines():
            count += 1
            if problem := _problem(line):
                promise.against.append(f"{worker.program.log}: {problem[:600]}")
    promise.figures = f"{count} lines"
    return promise


def _problem(line: Line | str) -> str | None:
    if isinstance(line, str):
        return None if line.startswith("chartq: ") else line
    bad = line.traceback or line.level in ("ERROR", "CRITICAL") or _FAULT in line.message
    return f"{line.message} {line.traceback or ''}" if bad else None


def weights_flat(workers: Iterable[Worker], *, in_flight: int) -> Promise:
    """Memory, descriptors and threads of a worker don't grow once it is warm."""
    promise = Promise("memory, descriptors and threads of the workers stay flat")
    figures = []
    for worker in workers:
        weights = worker.weights
        if not weights:
            continue
        most_files, most_threads = max(w.files for w in weights), max(w.threads for w in weights)
        if most_threads > in_flight + _OTHER_THREADS or most_files > 3 * in_flight + _OTHER_FILES:
            promise.against.append(f"{worker.program.log}: {most_threads} threads, {most_files} descriptors")
        warm = [weight for weight in weights if weight.at > worker.started_at + _WARM_S]
        if len(warm) < 40:
            continue
        quarter = len(warm) // 4
        first, last = warm[:quarter], warm[-quarter:]
        before, after = median(w.rss_bytes for w in first), median(w.rss_bytes for w in last)
        if after > before * _RSS_GROWTH + _RSS_SLACK_BYTES:
            promise.against.append(f"{worker.program.log}: {before / 1e6:.1f} MB became {after / 1e6:.1f} MB")
        # Those of calls and of the store's connections come and go: a quarter may have been an idle one.
        files_before, files_after = (max(w.files for w in some) for some in (weights[: len(weights) // 2], last))
        if files_after > files_before + _FILES_SLACK:
            promise.against.append(f"{worker.program.log}: {files_before} descriptors became {files_after}")
        minutes = (weights[-1].at - worker.started_at) / 60
        figures.append((minutes, f"{before / 1e6:.1f} -> {after / 1e6:.1f} MB in {minutes:.0f} min"))
    promise.figures = "; ".join(text for _, text in sorted(figures, reverse=True)[:3])
    return promise
