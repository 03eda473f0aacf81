"""The report: every promise with what speaks against it, and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from chaos import promises
from chaos.crew import Worker, executions
from chaos.plan import FAULTS
from chaos.promises import Promise, Row
from chaos.provider import askings
from chaos.scene import MAX_RETRIES, TIMEOUT_S, TOKEN, Scene
from chaos.stranger import TOKEN as STRANGERS_TOKEN
from chaos.watch import Watch, wrong_sum

_LEAVE_WITHIN_S = 60.0


@dataclass
class Report:
    """What came of a run."""

    promises: list[Promise] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return all(promise.holds for promise in self.promises)

    def text(self) -> str:
        lines = []
        for promise in self.promises:
            figures = f" ({promise.figures})" if promise.figures else ""
            lines.append(f"{'ok  ' if promise.holds else 'FAIL'} {promise.says}{figures}")
            lines += [f"     {what}" for what in promise.against[:10]]
            lines += [f"     and {len(promise.against) - 10} more"] * (len(promise.against) > 10)
        return "\n".join([*lines, "", *self.figures])


def report_of(scene: Scene, watch: Watch, finished_s: float | None) -> Report:
    """Dismiss the workers and check everything. `finished_s`: after the last fault; None if jobs are still open."""
    codes = scene.crew.dismiss(_LEAVE_WITHIN_S)
    rows, calls, seen = scene.rows(), askings(scene.provider.server.record), watch.seen
    for row in rows:
        if row.status == "finished":
            watch.note_answer(row.job_id, row.raw)
    told = executions(scene.crew.all)
    documents = scene.users.documents
    wrong_sums = seen.wrong_sums + [wrong for document in documents if (wrong := wrong_sum(document))]
    poison, canceled, stranger = scene.provider.poison, scene.users.canceled, scene.stranger
    unfinished = [] if finished_s is not None else [f"{scene.open_rows()} rows are still open"]
    folders = [scene.stack.folder, scene.store.folder]
    leaks = where_found(TOKEN, folders) + where_found(STRANGERS_TOKEN, folders)
    deserters = [f"{worker.program.log} left by itself" for worker in scene.crew.deserters if not _may_leave(worker)]
    report = Report()
    report.promises = [
        promises.seen("it all came to an end", unfinished, f"{finished_s or 0:.0f} s after the last fault"),
        promises.all_ended(rows, poison=poison, canceled=canceled),
        promises.poison_spent(rows, calls, poison, max_attempts=MAX_RETRIES + 1),
        promises.nothing_missing(rows, scene.users.orders),
        promises.one_answer(rows, calls),
        promises.seen("the first answer stays", seen.changed_answers, f"{len(seen.answers)} answers watched"),
        promises.repeats_explained(rows, calls, told, timeout_s=TIMEOUT_S - 0.5),
        promises.attempts_earned(rows, calls, told),
        promises.seen("counts add up", wrong_sums, f"{seen.samples + len(documents)} samples, {seen.missed} missed"),
        promises.seen("what has ended stays ended", seen.falls),
        promises.dated_right(rows, calls),
        promises.stranger_refused(stranger.visits, labels=[scene.ledger.label, stranger.label]),
        promises.stranger_kept_out(
            calls,
            fingerprint=stranger.fingerprint,
            before=stranger.counts_before,
            after=stranger.counts(),
            left_in_redis=scene.redis.jobs_among(stranger.job_ids()),
        ),
        promises.weights_flat(scene.crew.all, in_flight=scene.plan.in_flight),
        promises.logs_clean(scene.crew.all),
        promises.seen("no command failed otherwise than in a sentence", scene.users.complaints),
        promises.seen("workers stay, and leave in order when told", [*deserters, *_bad_leaves(codes)]),
        promises.seen("the token is in no log, no store and no Redis", leaks),
    ]
    report.figures = _figures(scene, rows, len(calls))
    return report


def _may_leave(worker: Worker) -> bool:
    """A worker that finds no Redis or no store when it starts says so, and is started again."""
    return worker.program.returncode == 1 and "chartq: " in worker.program.said


def _bad_leaves(codes: Iterable[int | None]) -> list[str]:
    """Told to leave by SIGTERM, perhaps before it could listen; or 1, when it never got to work."""
    return [f"a worker left with {code}" for code in codes if code not in (0, 1, 128 + SIGTERM, -SIGTERM)]


def where_found(word: str, folders: Iterable[Path]) -> list[str]:
    """The files that hold this word."""
    paths = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
    return [str(path) for path in paths if word.encode() in path.read_bytes()]


def _figures(scene: Scene, rows: Sequence[Row], calls: int) -> list[str]:
    happened, users = scene.happened, scene.users
    faults = {what: count for what, count in happened.items() if what in FAULTS}
    return [
        f"seed {scene.plan.seed}, {scene.plan.store}, {scene.plan.workers} x {scene.plan.in_flight} in flight, "
        f"{scene.plan.seconds / 60:.1f} minutes of faults",
        f"{len({row.job_id for row in rows})} jobs in {len({row.batch_id for row in rows})} batches, {calls} calls, "
        f"{len(scene.crew.all)} workers, {sum(worker.wrong_s != 0 for worker in scene.crew.all)} with a wrong clock",
        f"{sum(faults.values())} faults: " + ", ".join(f"{what} {count}" for what, count in sorted(faults.items())),
        "commands: " + ", ".join(f"{what} left with {code}: {n}" for (what, code), n in sorted(users.codes.items())),
    ]
