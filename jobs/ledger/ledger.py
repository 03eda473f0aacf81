"""The ledger: the durable record of batches, jobs and answers, and everything that may be done with it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from sqlalchemy import URL

from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question
from jobs.ledger import attempts as executions
from jobs.ledger import batches, questions, schema
from jobs.ledger import failure_holds as holds
from jobs.ledger import images as pictures
from jobs.ledger import insert as submission
from jobs.ledger import members as claims
from jobs.ledger import queries as reading
from jobs.ledger.database import Store
from jobs.ledger.questions import Questions
from jobs.ledger.records import (
    Added,
    Batch,
    CallsMade,
    Canceled,
    Counts,
    JobRow,
    Lost,
    NewMember,
    OpenJob,
    ResultRow,
    StartedJob,
    TokensSpent,
)
from jobs.ledger.reports import Change

#: Rows of a submit after which the database counts anew; fewer don't change its plans.
_MANY = 1000


class Ledger:
    """The results store of one URL. Safe to use from threads; processes share it through the database.

    Every method may raise StoreError; a StoreUnavailableError among them means that the same call may work
    later. A method that writes does all of it or nothing. Times (`now`) are seconds since the epoch.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._questions = Questions()

    @classmethod
    def open(cls, url: str | URL) -> Self:
        """Open the store at an SQLAlchemy URL, create it if it is missing, bring an older one up to date.

        Raises SettingsError (an unusable URL), InstallationError (no driver), StoreError.
        """
        store = Store(url)
        try:
            store.prepare()
        except BaseException:
            store.close()
            raise
        return cls(store)

    def close(self) -> None:
        """End all connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.label})"

    @property
    def label(self) -> str:
        """The store's place, without its password."""
        return self._store.label

    def check(self) -> int:
        """The schema's version, after a write that changes nothing: the store can be written."""
        return self._store.write(schema.write_nothing_new)

    # Submit

    def open_batch(
        self,
        *,
        question: Question,
        name: str | None,
        fingerprint: str,
        sources: Sequence[str],
        priority: str,
        now: float,
        sampled_of: int | None = None,
        max_failures: FailureLimit | None = None,
    ) -> Batch:
        """A new batch without members. `fingerprint` says what was asked for, so that it is found again."""
        return self._store.write(
            lambda connection: batches.open_batch(
                connection,
                question=question,
                name=name,
                fingerprint=fingerprint,
                sources=sources,
                priority=priority,
                now=now,
                sampled_of=sampled_of,
                max_failures=max_failures,
            )
        )

    def find_batch(self, fingerprint: str, *, among: batches.Among) -> Batch | None:
        """The newest batch of this fingerprint that a submit may go on with; never a canceled one."""
        return self._store.read(
            lambda connection: batches.find_batch(connection, self._questions, fingerprint, among=among)
        )

    def custom_ids(self, batch: Batch) -> set[str]:
        """What the batch has so far."""
        return self._store.read(lambda connection: batches.custom_ids(connection, batch))

    def unseal(self, batch: Batch) -> None:
        """More is about to be added: the batch is not completed before it is sealed again."""
        self._store.write(lambda connection: batches.unseal(connection, batch))

    def limit_failures(self, batch: Batch, max_failures: FailureLimit) -> None:
        """Another limit for a batch that is there."""
        self._store.write(lambda connection: holds.limit(connection, batch, max_failures))

    def add_members(
        self,
        batch: Batch,
        rows: Sequence[NewMember],
        *,
        refresh: bool,
        count_rehearsals: bool,
        now: float,
        answered_by: float | None = None,
    ) -> Added:
        """Add images to a batch, any number; adding them again changes nothing.

        One transaction per thousand rows, so that workers get their turn: after an error, add them all again.
        Answers of `answered_by` and before (of before the batch, unless given) count as cached.
        Raises InputError if the batch was canceled meanwhile.
        """
        cached_by = batch.created_at if answered_by is None else answered_by
        policy = submission.Policy(refresh=refresh, count_rehearsals=count_rehearsals, cached_by=cached_by)
        queue: dict[str, None] = {}
        cached = 0
        for chunk in claims.chunks(rows):
            added = self._store.write(partial(submission.add_chunk, batch=batch, rows=chunk, policy=policy, now=now))
            queue.update(dict.fromkeys(added.queue))
            cached += added.cached
        return Added(queue=list(queue), cached=cached)

    def seal(self, batch: Batch, now: float, *, sampled_of: int | None = None) -> None:
        """The submit is through: the batch can be completed from here on, with a sample of so many, or with all."""
        total = self._store.write(lambda connection: batches.seal(connection, batch, now, sampled_of=sampled_of))
        if total >= _MANY:
            self._store.renew_statistics()

    def retry(self, batch: Batch, now: float) -> list[str]:
        """Ask again what failed, with fresh attempts. Returns the job ids that belong on the queue."""
        return self._store.write(lambda connection: claims.retry(connection, batch, now))

    def cancel(self, batch: Batch, now: float) -> Canceled:
        """Take the batch's claim from all that has not started."""
        return self._store.write(lambda connection: claims.cancel(connection, batch, now))

    def held(self) -> list[Batch]:
        """The batches that were put on hold themselves; some of them may have nothing open."""
        return self._store.read(lambda connection: batches.held_batches(connection, self._questions))

    def resume(self, batch: Batch, now: float) -> bool:
        """End the batch's own hold, and count its failures anew. Returns whether it was on hold."""
        return self._store.write(lambda connection: holds.resume(connection, batch, now))

    # Work

    def start(self, claims: Sequence[tuple[str, str]], now: float) -> dict[str, StartedJob]:
        """Give jobs to executions: (job id, execution id).

        Left out are jobs that have ended, are unknown, or are wanted by nobody but batches on hold.
        """
        return self._store.write(lambda connection: executions.start(connection, claims, now))

    def question(self, question_id: str) -> Question:
        """The question; the last ones used are kept in memory. Raises UnknownIdError."""
        kept = self._questions.kept(question_id)
        if kept is not None:
            return kept
        return self._store.read(lambda connection: self._questions.get(connection, question_id))

    def record(self, changes: Sequence[Change], now: float) -> set[str]:
        """Write what became of executions. Returns the ids of the jobs that it changed.

        Batches whose limit of failures is reached go on hold with it.
        """
        if not changes:
            return set()
        return set(self._store.write(lambda connection: executions.record(connection, changes, now)))

    def give_back_attempts(self, spent: Mapping[str, int]) -> None:
        """Take attempts (job id -> how many) off jobs that are still open."""
        self._store.write(lambda connection: executions.give_back_attempts(connection, spent))

    def lose(self, losses: Sequence[tuple[str, str]], *, max_losses: int, now: float) -> Lost:
        """Take jobs from executions (job id, execution id) that died; more than `max_losses` fail a job."""
        return self._store.write(lambda connection: executions.lose(connection, losses, max_losses=max_losses, now=now))

    def images_of(self, job_id: str) -> list[str]:
        """All paths under which a job's image was submitted, the newest first."""
        return self._store.read(lambda connection: executions.images_of(connection, job_id))

    def keep_pictures(self, pictures_by_sha256: Mapping[str, bytes]) -> None:
        """Pictures that come before the rows that are about them."""
        self._store.write(lambda connection: pictures.keep(connection, pictures_by_sha256))

    def picture(self, sha256: str) -> bytes | None:
        """A picture that came within a request; None if there is none of this hash."""
        return self._store.read(lambda connection: pictures.get(connection, sha256))

    def open_jobs(self, after_id: int, limit: int, *, batch: Batch | None = None) -> list[OpenJob]:
        """The next open jobs whose row id is above `after_id` (0: all of them), in the order of row ids."""
        return self._store.read(lambda connection: executions.open_jobs(connection, after_id, limit, batch))

    # Reading

    def answered(self, job_ids: Sequence[str], *, count_rehearsals: bool) -> set[str]:
        """Those of the jobs that a submit without refresh would find answered."""
        found: set[str] = set()
        for chunk in claims.chunks(job_ids):
            found |= self._store.read(partial(reading.answered, job_ids=chunk, count_rehearsals=count_rehearsals))
        return found

    def tokens_spent(self, question: Question, *, count_rehearsals: bool) -> TokensSpent | None:
        """What the answers so far took: to this question, else of its lane; None without any that tell."""
        return self._store.read(
            lambda connection: reading.tokens_spent(connection, question, count_rehearsals=count_rehearsals)
        )

    def batch(self, batch_id: str) -> Batch:
        """The batch as it is now; raises UnknownIdError."""
        return self._store.read(lambda connection: batches.get_batch(connection, self._questions, batch_id))

    def lanes(self) -> set[str]:
        """Every lane that was ever asked for."""
        return self._store.read(questions.lanes)

    def batches(self) -> Iterator[Batch]:
        """All batches, the newest first."""
        return batches.all_batches(self._store, self._questions)

    def counts(self, batch: Batch, *, recent_since: float) -> Counts:
        """Where the batch stands at this moment."""
        return self.counts_of([batch], recent_since=recent_since)[batch.id]

    def counts_of(self, batches: Sequence[Batch], *, recent_since: float) -> dict[int, Counts]:
        """Where each of up to a thousand batches stands at this moment, by its row id."""
        rows = [batch.id for batch in batches]
        return self._store.read(lambda connection: reading.counts(connection, rows, recent_since=recent_since))

    def job(self, job_id: str) -> JobRow:
        """Everything about one job; raises UnknownIdError."""
        return self._store.read(lambda connection: reading.get_job(connection, self._questions, job_id))

    def job_states(self, job_ids: Collection[str]) -> dict[str, str]:
        """Job id -> status, of up to a thousand jobs; those that there are not are left out."""
        return self._store.read(lambda connection: reading.job_states(connection, job_ids))

    def results(self, batch: Batch, *, status: str | None = None) -> Iterator[ResultRow]:
        """The batch's rows in the order of submission, of one status or of all; read as they are taken."""
        return reading.results(self._store, self._questions, batch, status=status)

    def names_of_jobs(self, batch: Batch) -> dict[str, str]:
        """The batch's jobs, each with the name that it has there (one of them, if the same picture is in it twice)."""
        return self._store.read(lambda connection: reading.names_of_jobs(connection, batch))

    def latest(self, batch: Batch, limit: int, *, status: str = "finished") -> list[ResultRow]:
        """The rows of this status that ended last, the newest first: 50 ms in a batch of 100,000."""
        return self._store.read(
            lambda connection: reading.latest(connection, self._questions, batch, status=status, limit=limit)
        )

    def calls(self, batch: Batch) -> CallsMade:
        """How many calls were made for the batch, and how many of them the provider refused."""
        return self._store.read(lambda connection: reading.calls(connection, batch))
