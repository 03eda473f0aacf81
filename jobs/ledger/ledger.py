"""The ledger: the durable record of batches, jobs and answers, and everything that may be done with it."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Self, TypeVar

from jobs.core.controls import Controls
from jobs.core.job import Question
from jobs.core.pages import pages
from jobs.ledger import (
    api_keys,
    attempts,
    batches,
    controls,
    counts,
    deletion,
    failure_holds,
    files,
    images,
    insert,
    members,
    openai_batches,
    queries,
    questions,
    redis_marks,
    schema,
    webhooks,
)
from jobs.ledger.database import Store, reads, writes
from jobs.ledger.pool import rest
from jobs.ledger.records import Added, Batch, Counts, NewMember, ResultRow, SourceAnswer
from jobs.ledger.reports import Change
from jobs.ledger.store_url import StoreUrl
from jobs.ledger.transaction import BEYOND, Transaction

R = TypeVar("R", ResultRow, SourceAnswer)

#: Rows of a submit after which the database counts anew; fewer don't change its plans.
_MANY = 1000


def _counts_and_controls(
    tx: Transaction, some: Sequence[Batch], label: str, *, recent_since: float
) -> tuple[dict[int, Counts], Controls]:
    return counts.read(tx, some, recent_since=recent_since), controls.read(tx, label)


class Ledger:
    """The results store of one URL. Safe to use from threads; processes share it through the database.

    Every method may raise StoreError; a StoreUnavailableError among them means that the same call may work
    later. A method that writes does all of it or nothing. Times (`now`) are seconds since the epoch.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        #: The store's place, without its password.
        self.label = store.label

    @classmethod
    def open(cls, url: str | StoreUrl) -> Self:
        """Open the store at a URL, create it if it is missing, bring an older one up to date.

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
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.label})"

    check = writes(schema.write_nothing_new)
    store_id = reads(schema.store_id)

    # Submit

    open_batch = writes(batches.open_batch)
    find_batch = reads(batches.find_batch)
    custom_ids = reads(batches.custom_ids)
    unseal = writes(batches.unseal)
    limit_failures = writes(failure_holds.limit)
    retry = writes(members.retry)
    cancel = writes(members.cancel)
    held = reads(batches.held_batches)
    resume = writes(failure_holds.resume)
    _seal = writes(batches.seal)
    _add_chunk = writes(insert.add_chunk)

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
        """Add rows to a batch, any number; adding them again changes nothing.

        One transaction per thousand rows, so that workers get their turn: after an error, add them all again.
        Answers of `answered_by` and before (of before the batch, unless given) count as cached.
        Raises InputError if the batch was canceled meanwhile.
        """
        cached_by = batch.created_at if answered_by is None else answered_by
        policy = insert.Policy(refresh=refresh, count_rehearsals=count_rehearsals, cached_by=cached_by)
        queue: dict[str, None] = {}
        cached = 0
        for chunk in pages(rows, members.CHUNK):
            added = self._add_chunk(batch, chunk, policy, now)
            queue.update(dict.fromkeys(added.queue))
            cached += added.cached
        return Added(queue=list(queue), cached=cached)

    def seal(self, batch: Batch, now: float, *, sampled_of: int | None = None) -> None:
        """The submit is through: the batch can be completed from here on, with a sample of so many, or with all."""
        if self._seal(batch, now, sampled_of=sampled_of) >= _MANY:
            self.store.renew_statistics()

    # Work

    start = writes(attempts.start)
    give_back_attempts = writes(attempts.give_back_attempts)
    lose = writes(attempts.lose)
    images_of = reads(attempts.images_of)
    picture = reads(images.get)
    keep_pictures = writes(images.keep)
    open_jobs = reads(attempts.open_jobs)
    _question = reads(questions.get)
    _record = writes(attempts.record)

    def question(self, question_id: str) -> Question:
        """The question; the last ones used are kept in memory. Raises UnknownIdError."""
        return self.store.questions.kept(question_id) or self._question(question_id)

    def record(self, changes: Sequence[Change], now: float) -> set[str]:
        """Write what became of executions. Returns the ids of the jobs that it changed.

        Batches whose limit of failures is reached go on hold with it.
        """
        return set(self._record(changes, now)) if changes else set()

    # Controls

    pause = writes(controls.pause)
    pause_batch = writes(controls.pause_batch)
    end_pauses = writes(controls.end_pauses)
    end_pauses_that_are_over = writes(controls.end_pauses_that_are_over)
    limit_model = writes(controls.limit)
    redis_mark = reads(redis_marks.get)
    other_redis = reads(redis_marks.other)
    mark_redis = writes(redis_marks.put)
    _controls = reads(controls.read)

    def controls(self) -> Controls:
        """What people have paused and limited."""
        return self._controls(self.label)

    # Deleting

    size_of = reads(deletion.size)
    obstacle_to_deletion = reads(deletion.obstacle)
    hide = writes(deletion.hide)
    _is_something_hidden = reads(deletion.is_something_left)
    _remove_a_page = writes(deletion.remove_a_page)
    _pictures_wanted = reads(deletion.pictures_wanted)
    _drop_pictures = writes(deletion.drop_pictures)

    def remove_hidden(self) -> None:
        """Remove all that hidden batches have left, in small transactions; give the room back to the system."""
        if not self._is_something_hidden():
            return
        seen: set[str] = set()
        more, pictures = self._remove_a_page()
        while more:
            seen |= pictures
            began = time.monotonic()
            more, pictures = self._remove_a_page()
            rest(time.monotonic() - began)
        unwanted = sorted(seen - self._pictures_wanted()) if seen else []
        for some in pages(unwanted, deletion.PICTURES):
            self._drop_pictures(some)
        self.store.give_room_back()

    # HTTP

    create_api_key = writes(api_keys.create)
    check_api_key = reads(api_keys.check)
    count_api_keys = reads(api_keys.count)
    revoke_api_key = writes(api_keys.revoke)
    is_job_of = reads(api_keys.is_job_of)
    api_keys = reads(api_keys.listed)
    begin_file = writes(files.begin)
    add_file_part = writes(files.add_part)
    complete_file = writes(files.complete)
    file_part = reads(files.part)
    delete_file = writes(files.delete)
    drop_file = writes(files.drop)
    file = reads(files.get)
    file_of_row = reads(files.by_row)
    new_outputs = reads(files.new_outputs)
    note_output = writes(files.note_output)
    files = reads(files.page)
    create_openai_batch = writes(openai_batches.create)
    openai_batch = reads(openai_batches.get)
    cancel_openai_batch = writes(openai_batches.cancelling)
    take_openai_batch = writes(openai_batches.take)
    openai_batch_goes_on = writes(openai_batches.go_on)
    openai_batch_submitted = writes(openai_batches.submitted)
    fail_openai_batch = writes(openai_batches.failed)
    openai_batches = reads(openai_batches.page)
    note_ends = writes(webhooks.note_ends)
    has_webhook_work = reads(webhooks.has_work)
    claim_webhook = writes(webhooks.claim_due)
    webhook_heard = writes(webhooks.heard)
    webhook_not_heard = writes(webhooks.not_heard)

    # Reading

    batch = reads(batches.get_batch)
    lanes = reads(questions.lanes)
    was_answered = reads(questions.was_answered)
    tokens_spent = reads(queries.tokens_spent)
    job = reads(queries.get_job)
    job_states = reads(queries.job_states)
    names_of_jobs = reads(queries.names_of_jobs)
    asked_by_others = reads(queries.asked_by_others)
    failures = reads(queries.failures)
    latest = reads(queries.latest)
    calls = reads(queries.calls)
    _batches_page = reads(batches.page)
    sources_of = reads(queries.sources_of)
    results_window = reads(queries.results_window)
    count_results = reads(queries.count_results)
    _results_page = reads(queries.results_page)
    _unasked_page = reads(queries.unasked_page)
    answered = reads(queries.answered)
    counts_of = reads(counts.read)
    _counts_and_controls = reads(_counts_and_controls)

    def batches(self, *, owner: str | None = None) -> Iterator[Batch]:
        """All batches, or one owner's, the newest first; read page by page: no transaction stays open meanwhile."""
        before = BEYOND
        while page := self._batches_page(before, owner=owner):
            yield from page
            if len(page) < batches.PAGE:
                return
            before = page[-1].id

    def counts(self, batch: Batch, *, recent_since: float) -> Counts:
        """Where the batch stands at this moment."""
        return self.counts_of([batch], recent_since=recent_since)[batch.id]

    def counts_and_controls(self, some: Sequence[Batch], *, recent_since: float) -> tuple[dict[int, Counts], Controls]:
        """Where each of the batches stands, and what is paused and limited, in one read."""
        return self._counts_and_controls(some, self.label, recent_since=recent_since)

    def results(self, batch: Batch, *, status: str | None = None, with_raw: bool = True) -> Iterator[ResultRow]:
        """The batch's rows in the order of submission, of one status or of all; read as they are taken."""
        return _in_order(partial(self._results_page, batch, status=status or "", with_raw=with_raw))

    def unasked_answers(self, batch: Batch, stage: Batch | None, charts: Batch | None) -> Iterator[SourceAnswer]:
        """The batch's answers that `stage` has not asked about yet, in order; read as they are taken.

        `charts`: the batch whose rows of the same names have the pictures; None: they are not wanted.
        """
        return _in_order(partial(self._unasked_page, batch, stage, charts))


def _in_order(next_page: Callable[..., Sequence[R]]) -> Iterator[R]:
    """Rows in the order of submission, read page by page: no transaction stays open meanwhile."""
    position, custom_id = -1, ""
    while page := next_page(position=position, custom_id=custom_id):
        yield from page
        position, custom_id = page[-1].position, page[-1].custom_id
