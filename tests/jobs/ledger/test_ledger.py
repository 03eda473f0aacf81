"""What the ledger promises, on SQLite and on PostgreSQL alike."""

import dataclasses
from collections import Counter

import pytest
from support.stores import (
    QUESTION,
    finished,
    id_of,
    members_of,
    open_batch,
    start,
    submit,
)

from jobs.core.errors import InputError, UnknownIdError
from jobs.ledger import AnswerRow, Batch, Counts, Failed, Finished, JobError, Ledger, Returned, RowFilter


def counts(ledger: Ledger, batch: Batch) -> Counter[str]:
    """The states that occur, after checking that they add up and agree with the results."""
    found = dataclasses.asdict(ledger.counts(batch, recent_since=0))
    states = Counter(
        {s: found[s] for s in ("queued", "started", "scheduled", "finished", "failed", "canceled") if found[s]}
    )
    assert states.total() == found["total"]
    assert states == Counter(row.status for row in ledger.results(batch))
    return states


def failed(chart: str, execution_id: str = "e", spent: int = 1) -> Failed:
    return Failed(
        job_id=id_of(chart),
        execution_id=execution_id,
        error_type="ImageError",
        message="broken",
        attempts_spent=spent,
    )


def finish(ledger: Ledger, chart: str, text: str = "up", *, now: float = 0.0, rehearsal: bool = False) -> None:
    start(ledger, chart, now=now)
    assert ledger.record([finished(chart, text, rehearsal=rehearsal)], now) == {id_of(chart)}


def fail(ledger: Ledger, chart: str, *, now: float = 0.0) -> None:
    start(ledger, chart, now=now)
    assert ledger.record([failed(chart)], now) == {id_of(chart)}


def texts(ledger: Ledger, batch: Batch) -> list[str | None]:
    return [row.text for row in ledger.results(batch)]


# Submit


def test_new_charts_are_queued_and_counted(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    added = ledger.add_members(batch, members_of("abc"), refresh=False, count_rehearsals=False, now=1)
    assert (added.queue, added.cached) == ([id_of(c) for c in "abc"], 0)
    assert counts(ledger, batch) == {"queued": 3}


def test_what_is_in_flight_is_left_to_its_worker_by_another_submit(ledger: Ledger) -> None:
    submit(ledger, "ab", now=1)
    start(ledger, "a", now=2)
    batch = open_batch(ledger, now=3)
    added = ledger.add_members(batch, members_of("abc"), refresh=False, count_rehearsals=False, now=3)
    assert added.queue == [id_of("b"), id_of("c")]
    assert counts(ledger, batch) == {"started": 1, "queued": 2}


def test_a_batch_comes_back_as_it_was_opened(ledger: Ledger) -> None:
    batch = ledger.open_batch(
        question=QUESTION, name="näme", fingerprint="f", sources=["/a", "b"], priority="high", now=1.5
    )
    again = ledger.batch(batch.batch_id)
    assert again == batch
    assert (again.question, again.sources, again.priority) == (QUESTION, ("/a", "b"), "high")
    assert (again.name, again.created_at, again.sealed_at, again.hold) == ("näme", 1.5, None, None)
    assert batch.batch_id.startswith("b700101-")


def test_a_window_shows_the_rows_that_fit_and_their_number(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1)
    finish(ledger, "a", "Up 100%")
    finish(ledger, "b", "down_")
    fail(ledger, "c")

    def seen(offset: int = 0, limit: int = 9, **only: str) -> tuple[list[str], int]:
        rows = ledger.results_window(batch, RowFilter(**only), offset=offset, limit=limit)
        return [row.job_id for row in rows], ledger.count_results(batch, RowFilter(**only))

    a, b, c, d = map(id_of, "abcd")
    assert seen() == ([a, b, c, d], 4)
    assert seen(1, 2) == ([b, c], 4)
    assert seen(status="finished") == ([a, b], 2)
    assert seen(error="ImageError") == ([c], 1)
    assert seen(words="up 100%") == ([a], 1)
    assert seen(words="N_") == ([b], 1)
    assert seen(words="%n") == ([], 0)
    assert seen(words="'; --!") == ([], 0)


def test_many_batches_are_counted_as_each_is_alone(ledger: Ledger) -> None:
    first, second, empty = submit(ledger, "abc", now=1), submit(ledger, "bcd", now=2), submit(ledger, "", now=3)
    start(ledger, "b", now=4)
    ledger.record([finished("b")], 5)
    ledger.cancel(first, 6)
    batches = [empty, first, second]
    found = ledger.counts_of(batches, recent_since=0)
    assert found == {batch.id: ledger.counts(batch, recent_since=0) for batch in batches}
    assert [found[batch.id].total for batch in batches] == [0, 3, 3]
    assert (found[first.id].canceled, found[second.id].open) == (2, 2)


def test_sealing_counts_the_batch_and_keeps_the_first_time(ledger: Ledger) -> None:
    batch = submit(ledger, ["a", "b", "twin=a"], now=1)
    ledger.seal(batch, 9)
    again = ledger.batch(batch.batch_id)
    assert (again.total, again.sealed_at) == (3, 1)


def test_the_same_rows_added_twice_change_nothing(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    for _ in range(2):
        added = ledger.add_members(batch, members_of("abc"), refresh=True, count_rehearsals=False, now=1)
        assert len(added.queue) == 3
    assert counts(ledger, batch) == {"queued": 3}


def test_many_rows_go_in_at_once(ledger: Ledger) -> None:
    charts = [f"chart {n}" for n in range(2500)]
    batch = submit(ledger, charts, now=1)
    assert counts(ledger, batch) == {"queued": 2500}
    assert [row.custom_id for row in ledger.results(batch)] == [f"{chart}.png" for chart in charts]


def test_twins_are_one_job_with_two_rows(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    rows = members_of(["a", "twin=a"])
    added = ledger.add_members(batch, rows, refresh=True, count_rehearsals=False, now=1)
    assert (added.queue, added.cached) == ([id_of("a")], 0)
    finish(ledger, "a", now=2)
    assert texts(ledger, batch) == ["up", "up"]
    assert counts(ledger, batch) == {"finished": 2}


def test_a_twin_that_comes_after_the_answer_is_not_asked_again(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    first, twin = members_of(["a", "twin=a"])
    ledger.add_members(batch, [first], refresh=True, count_rehearsals=False, now=1)
    finish(ledger, "a", now=2)
    added = ledger.add_members(batch, [twin], refresh=True, count_rehearsals=False, now=3)
    assert (added.queue, added.cached) == ([], 0)


def test_an_answer_from_before_the_batch_is_cached(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    finish(ledger, "a", now=2)
    batch = open_batch(ledger, now=3)
    added = ledger.add_members(batch, members_of("ab"), refresh=False, count_rehearsals=False, now=3)
    assert (added.queue, added.cached) == ([id_of("b")], 1)
    again = ledger.add_members(batch, members_of("ab"), refresh=False, count_rehearsals=False, now=4)
    assert again == added


def test_a_rehearsal_answer_is_cached_only_for_rehearsals(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    finish(ledger, "a", "rehearsed", now=2, rehearsal=True)
    for count_rehearsals, cached in ((True, 1), (False, 0)):
        batch = open_batch(ledger, now=3)
        added = ledger.add_members(batch, members_of("a"), refresh=False, count_rehearsals=count_rehearsals, now=3)
        assert (len(added.queue), added.cached) == (1 - cached, cached)
    assert texts(ledger, old) == ["rehearsed"]
    assert [row.rehearsal for row in ledger.results(old)] == [True]


def test_the_newest_path_is_the_one_to_read(ledger: Ledger) -> None:
    submit(ledger, ["a"], now=1)
    submit(ledger, ["moved=a"], now=2)
    started = ledger.start([(id_of("a"), "e")], 3)[id_of("a")]
    assert started.image == "/charts/moved.png"
    assert ledger.images_of(id_of("a")) == ["/charts/moved.png", "/charts/a.png"]


def test_a_file_that_changed_between_two_tries_of_a_submit_is_asked_about_as_it_is(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1)
    for content in ("old", "new"):
        ledger.add_members(batch, members_of([f"a={content}"]), refresh=False, count_rehearsals=False, now=1)
    assert [row.job_id for row in ledger.results(batch)] == [id_of("new")]
    assert [job.job_id for job in ledger.open_jobs(0, 10)] == [id_of("new")]
    assert counts(ledger, batch) == {"queued": 1}


def test_nothing_is_added_to_a_canceled_batch(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    ledger.cancel(batch, 2)
    with pytest.raises(InputError, match="canceled"):
        ledger.add_members(batch, members_of("b"), refresh=False, count_rehearsals=False, now=3)


def test_an_unfinished_batch_is_found_by_its_fingerprint(ledger: Ledger) -> None:
    assert ledger.find_batch("f", among="unfinished") is None
    batch = open_batch(ledger, now=1)
    assert ledger.find_batch("f", among="unsealed") == batch
    ledger.add_members(batch, members_of("a"), refresh=False, count_rehearsals=False, now=1)
    ledger.seal(batch, 1)
    assert ledger.find_batch("f", among="unsealed") is None
    found = ledger.find_batch("f", among="unfinished")
    assert found is not None
    assert found.batch_id == batch.batch_id
    finish(ledger, "a", now=2)
    assert ledger.find_batch("f", among="unfinished") is None


def test_the_newest_batch_is_the_one_that_was_opened_last_whatever_the_clocks_said(ledger: Ledger) -> None:
    opened = [open_batch(ledger, now=now) for now in (3, 1, 2)]
    assert ledger.find_batch("f", among="unsealed") == opened[-1]
    assert list(ledger.batches()) == opened[::-1]


def test_a_canceled_batch_is_not_taken_up_again(ledger: Ledger) -> None:
    ledger.cancel(open_batch(ledger, now=1), 2)
    assert ledger.find_batch("f", among="unfinished") is None


def test_batches_are_listed_newest_first(ledger: Ledger) -> None:
    opened = [open_batch(ledger, now=n).batch_id for n in range(5)]
    assert [batch.batch_id for batch in ledger.batches()] == opened[::-1]


def test_unknown_ids_say_where_the_known_ones_are(ledger: Ledger) -> None:
    with pytest.raises(UnknownIdError, match="chartq list"):
        ledger.batch("b700101-nobody")
    with pytest.raises(UnknownIdError):
        ledger.job("nobody")


# Refresh


def test_refresh_asks_anew_and_the_old_answer_stays_until_the_new_one_is_in(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    new = submit(ledger, "a", now=3, refresh=True)
    assert counts(ledger, old) == {"finished": 1}
    assert counts(ledger, new) == {"queued": 1}
    assert (texts(ledger, old), texts(ledger, new)) == (["old"], [None])
    finish(ledger, "a", "new", now=4)
    assert (texts(ledger, old), texts(ledger, new)) == (["new"], ["new"])


def test_a_submit_that_died_refreshes_nothing_twice(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    batch = submit(ledger, "a", now=3, refresh=True)
    finish(ledger, "a", "new", now=4)
    added = ledger.add_members(batch, members_of("a"), refresh=True, count_rehearsals=False, now=5)
    assert (added.queue, added.cached) == ([], 0)


def test_a_refresh_that_comes_to_a_twin_later_asks_for_both(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    first, twin = members_of(["a", "twin=a"])
    batch = submit(ledger, ["a", "twin=a"], now=3)
    assert counts(ledger, batch) == {"finished": 2}
    for row in (first, twin):
        added = ledger.add_members(batch, [row], refresh=True, count_rehearsals=False, now=4)
        assert added.queue == [id_of("a")]
        assert counts(ledger, batch) == {"queued": 2}


def test_a_refresh_leaves_an_open_job_alone(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    start(ledger, "a", now=2)
    ledger.record([Returned(job_id=id_of("a"), execution_id="e", attempts_spent=1)], 2)
    submit(ledger, "a", now=3, refresh=True)
    assert ledger.job(id_of("a")).shown.attempts == 1


def test_a_refresh_that_fails_takes_no_answer_from_others(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    new = submit(ledger, "a", now=3, refresh=True)
    fail(ledger, "a", now=4)
    assert counts(ledger, old) == {"finished": 1}
    assert counts(ledger, new) == {"failed": 1}
    assert texts(ledger, old) == ["old"]


@pytest.mark.parametrize("refresh_ends", ["finished", "failed", "not yet"])
def test_a_plain_submit_takes_the_answer_that_a_refresh_is_about_to_replace(ledger: Ledger, refresh_ends: str) -> None:
    submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    submit(ledger, "a", now=3, refresh=True)
    joined = submit(ledger, "a", now=4)
    if refresh_ends == "finished":
        finish(ledger, "a", "new", now=5)
    elif refresh_ends == "failed":
        fail(ledger, "a", now=5)
    after = submit(ledger, "a", now=9)
    for batch in (joined, after):
        assert counts(ledger, batch) == {"finished": 1}
        assert texts(ledger, batch) == ["new" if refresh_ends == "finished" else "old"]
        added = ledger.add_members(batch, members_of("a"), refresh=False, count_rehearsals=False, now=9)
        assert added.queue == []
    assert added.cached == 1


def test_canceling_a_refresh_brings_the_old_answer_back(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    new = submit(ledger, "a", now=3, refresh=True)
    canceled = ledger.cancel(new, 4)
    assert (canceled.count, canceled.kept) == (1, [])
    assert counts(ledger, old) == {"finished": 1}
    assert counts(ledger, new) == {"canceled": 1}
    job = ledger.job(id_of("a"))
    assert (job.shown.status, job.shown.text, job.shown.finished_at) == ("finished", "old", 2)


# Failed elsewhere, retry


def test_what_failed_before_is_asked_again_and_stays_failed_for_others(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    new = submit(ledger, "a", now=3)
    assert counts(ledger, old) == {"failed": 1}
    assert counts(ledger, new) == {"queued": 1}
    assert next(ledger.results(old)).error == JobError(type="ImageError", message="broken", status_code=None)
    job = ledger.job(id_of("a"))
    assert (job.shown.attempts, job.shown.error) == (0, None)
    finish(ledger, "a", now=4)
    assert counts(ledger, old) == counts(ledger, new) == {"finished": 1}


def test_what_failed_and_is_asked_again_leaves_others_the_endings_that_they_had(ledger: Ledger) -> None:
    answered = submit(ledger, "a", now=1)
    finish(ledger, "a", "old", now=2)
    refreshed = submit(ledger, "a", now=3, refresh=True)
    gave_up = submit(ledger, "a", now=4, refresh=True)
    ledger.cancel(gave_up, 5)
    fail(ledger, "a", now=6)
    submit(ledger, "a", now=7, refresh=True)
    assert texts(ledger, answered) == ["old"]
    assert [counts(ledger, batch) for batch in (answered, refreshed, gave_up)] == [
        {"finished": 1},
        {"failed": 1},
        {"canceled": 1},
    ]


def test_adding_again_does_not_retry_what_failed_for_the_same_batch(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    added = ledger.add_members(batch, members_of("a"), refresh=False, count_rehearsals=False, now=3)
    assert added.queue == []
    assert counts(ledger, batch) == {"failed": 1}


def test_retry_queues_what_failed_with_fresh_attempts(ledger: Ledger) -> None:
    batch = submit(ledger, ["a", "b", "twin=a"], now=1)
    fail(ledger, "a", now=2)
    finish(ledger, "b", now=2)
    assert ledger.retry(batch, 3) == [id_of("a")]
    assert counts(ledger, batch) == {"queued": 2, "finished": 1}
    job = ledger.job(id_of("a"))
    assert (job.shown.attempts, job.shown.error, job.queued_at, job.shown.finished_at) == (0, None, 3, None)
    assert ledger.retry(batch, 4) == []


def test_retry_joins_a_job_that_another_batch_has_queued_again(ledger: Ledger) -> None:
    old = submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    submit(ledger, "a", now=3)
    start(ledger, "a", now=4)
    ledger.record([Returned(job_id=id_of("a"), execution_id="e", attempts_spent=1)], 4)
    assert ledger.retry(old, 5) == [id_of("a")]
    assert counts(ledger, old) == {"queued": 1}
    assert ledger.job(id_of("a")).shown.attempts == 1


def test_a_canceled_batch_that_is_retried_goes_on_and_takes_what_is_added(ledger: Ledger) -> None:
    batch = submit(ledger, "abc", now=1)
    submit(ledger, "b", now=1)
    fail(ledger, "a", now=2)
    ledger.cancel(batch, 3)
    assert ledger.retry(batch, 4) == [id_of("a")]
    assert ledger.batch(batch.batch_id).canceled_at is None
    assert counts(ledger, batch) == {"queued": 1, "canceled": 2}
    added = ledger.add_members(batch, members_of("abd"), refresh=False, count_rehearsals=False, now=5)
    assert added.queue == [id_of("a"), id_of("b"), id_of("d")]
    assert counts(ledger, batch) == {"queued": 3, "canceled": 1}


def test_a_refresh_asks_again_what_anothers_retry_has_answered(ledger: Ledger) -> None:
    other, batch = submit(ledger, "a", now=1), submit(ledger, "a", now=2)
    fail(ledger, "a", now=3)
    ledger.retry(other, 4)
    finish(ledger, "a", now=5)
    assert counts(ledger, batch) == {"finished": 1}
    assert ledger.add_members(batch, members_of("a"), refresh=True, count_rehearsals=False, now=6).queue == [id_of("a")]
    assert counts(ledger, batch) == {"queued": 1}
    assert counts(ledger, other) == {"finished": 1}


def test_retry_leaves_other_batches_failed(ledger: Ledger) -> None:
    one, other = submit(ledger, "a", now=1), submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    ledger.retry(one, 3)
    assert counts(ledger, one) == {"queued": 1}
    assert counts(ledger, other) == {"failed": 1}


# Cancel


def test_cancel_ends_what_has_not_started(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1)
    finish(ledger, "a", now=2)
    start(ledger, "b", now=2)
    start(ledger, "c", now=2)
    ledger.record([Returned(job_id=id_of("c"), execution_id="e", status="scheduled")], 2)
    canceled = ledger.cancel(batch, 3)
    assert (canceled.count, canceled.kept) == (2, [])
    assert counts(ledger, batch) == {"finished": 1, "started": 1, "canceled": 2}
    assert ledger.batch(batch.batch_id).canceled_at == 3
    assert ledger.start([(id_of("d"), "e2")], 4) == {}


def test_cancel_of_some_rows_lets_the_others_and_the_batch_go_on(ledger: Ledger) -> None:
    batch = submit(ledger, "abc", now=1)
    assert ledger.cancel(batch, 2, shown=RowFilter(words="b.png")).count == 1
    assert [row.status for row in ledger.results(batch)] == ["queued", "canceled", "queued"]
    assert ledger.batch(batch.batch_id).canceled_at is None
    assert counts(ledger, batch) == {"queued": 2, "canceled": 1}


def test_cancel_leaves_a_twin_that_has_ended_as_it_ended(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    submit(ledger, "a", now=3)
    ledger.add_members(batch, members_of(["a", "twin=a"]), refresh=False, count_rehearsals=False, now=4)
    assert counts(ledger, batch) == {"failed": 1, "queued": 1}
    assert ledger.cancel(batch, 5).count == 1
    assert counts(ledger, batch) == {"failed": 1, "canceled": 1}


def test_a_job_that_another_batch_wants_goes_on(ledger: Ledger) -> None:
    one, other = submit(ledger, "ab", now=1), submit(ledger, "a", now=1)
    canceled = ledger.cancel(one, 2)
    assert (canceled.count, canceled.kept) == (2, [(id_of("a"), other.batch_id)])
    assert ledger.job(id_of("b")).shown.status == "canceled"
    finish(ledger, "a", now=3)
    assert counts(ledger, one) == {"canceled": 2}
    assert counts(ledger, other) == {"finished": 1}


def test_what_was_canceled_can_be_submitted_again(ledger: Ledger) -> None:
    one = submit(ledger, "a", now=1)
    ledger.cancel(one, 2)
    other = submit(ledger, "a", now=3)
    assert counts(ledger, one) == {"canceled": 1}
    assert counts(ledger, other) == {"queued": 1}


# Work


def test_start_hands_out_what_the_worker_needs(ledger: Ledger) -> None:
    batch = submit(ledger, "ab", now=1)
    started = ledger.start([(id_of("a"), "e1"), (id_of("b"), "e2"), ("nobody", "e3")], 2)
    assert set(started) == {id_of("a"), id_of("b")}
    job = started[id_of("b")]
    assert (job.execution_id, job.question_id, job.batch_id) == ("e2", QUESTION.id, batch.batch_id)
    assert (job.attempts, job.throttled, job.losses) == (0, 0, 0)
    assert ledger.question(job.question_id) == QUESTION
    assert counts(ledger, batch) == {"started": 2}


def test_started_jobs_name_a_batch_that_wants_them(ledger: Ledger) -> None:
    batches = [submit(ledger, charts, now=1) for charts in ("a", "ab", "c")]
    started = ledger.start([(id_of(chart), "e") for chart in "abc"], 2)
    named = [started[id_of(chart)].batch_id for chart in "abc"]
    assert named == [batches[1].batch_id, batches[1].batch_id, batches[2].batch_id]


def test_a_job_that_has_ended_is_not_started(ledger: Ledger) -> None:
    submit(ledger, "ab", now=1)
    finish(ledger, "a", now=2)
    fail(ledger, "b", now=2)
    assert ledger.start([(id_of("a"), "e"), (id_of("b"), "e")], 3) == {}


def test_a_lost_execution_is_replaced_and_its_late_outcome_ignored(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    start(ledger, "a", "lost")
    start(ledger, "a", "new")
    late = Returned(job_id=id_of("a"), execution_id="lost", attempts_spent=1)
    assert ledger.record([late, failed("a", "lost")], 2) == set()
    assert ledger.job(id_of("a")).shown.attempts == 0


def test_a_late_answer_counts_while_the_row_is_open_and_the_first_one_stays(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    start(ledger, "a", "lost")
    start(ledger, "a", "new")
    assert ledger.record([finished("a", "late", "lost")], 2) == {id_of("a")}
    assert ledger.record([finished("a", "second", "new")], 3) == set()
    assert texts(ledger, batch) == ["late"]


def test_an_answer_for_a_job_that_failed_or_was_canceled_changes_nothing(ledger: Ledger) -> None:
    batch = submit(ledger, "ab", now=1)
    fail(ledger, "a", now=2)
    ledger.cancel(batch, 3)
    assert ledger.record([finished("a"), finished("b")], 4) == set()


def test_reports_about_one_job_count_in_their_order(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    start(ledger, "a")
    assert ledger.record([finished("a", "first"), finished("a", "second"), failed("a")], 2) == {id_of("a")}
    assert ledger.job(id_of("a")).shown.text == "first"


def test_reports_about_unknown_jobs_are_ignored(ledger: Ledger) -> None:
    assert ledger.record([finished("nobody"), failed("nobody")], 1) == set()
    assert ledger.record([], 1) == set()
    assert ledger.start([], 1) == {}
    ledger.give_back_attempts({})


def test_a_returned_job_keeps_what_it_has_spent(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    error = JobError(type="HFServerError", message="500", status_code=500)
    for execution in ("e1", "e2"):
        start(ledger, "a", execution)
        ledger.record(
            [
                Returned(
                    job_id=id_of("a"),
                    execution_id=execution,
                    status="scheduled",
                    attempts_spent=1,
                    throttled=2,
                    lost=True,
                    error=error,
                )
            ],
            2,
        )
    job = ledger.job(id_of("a"))
    assert (job.shown.status, job.shown.attempts, job.shown.throttled, job.losses) == ("scheduled", 2, 4, 2)
    assert (job.shown.error, job.execution_id) == (error, None)


def test_a_failed_job_says_why(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    fail(ledger, "a", now=2)
    row = next(ledger.results(batch))
    assert (row.status, row.attempts, row.text, row.finished_at) == ("failed", 1, None, 2)
    assert row.error == JobError(type="ImageError", message="broken", status_code=None)


def test_attempts_are_given_back_but_not_below_nothing(ledger: Ledger) -> None:
    submit(ledger, "abc", now=1)
    for chart in "abc":
        start(ledger, chart)
        ledger.record([Returned(job_id=id_of(chart), execution_id="e", attempts_spent=2)], 2)
    finish(ledger, "c", now=3)
    ledger.give_back_attempts({id_of("a"): 1, id_of("b"): 5, id_of("c"): 2})
    assert [ledger.job(id_of(chart)).shown.attempts for chart in "abc"] == [1, 0, 3]


def test_losses_run_again_until_there_are_too_many(ledger: Ledger) -> None:
    submit(ledger, "ab", now=1)
    start(ledger, "b", "other")
    for n in range(3):
        start(ledger, "a", f"e{n}")
        lost = ledger.lose([(id_of("a"), f"e{n}"), (id_of("b"), "e")], max_losses=2, now=2)
        assert (lost.again, lost.failed) == (([id_of("a")], []) if n < 2 else ([], [id_of("a")]))
    job = ledger.job(id_of("a"))
    assert job.shown.error is not None
    assert (job.shown.status, job.losses, job.shown.attempts, job.shown.error.type) == ("failed", 3, 0, "WorkerLost")
    assert ledger.job(id_of("b")).losses == 0


def test_all_that_was_lost_with_a_worker_runs_again_each_by_its_own_count(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1)
    for execution, charts in [("e1", "a"), ("e2", "abcd")]:
        for chart in charts:
            start(ledger, chart, f"{chart} {execution}")
        losses = [(id_of(chart), f"{chart} {execution}") for chart in charts if chart != "d"]
        lost = ledger.lose(losses, max_losses=1, now=2)
    assert (sorted(lost.again), lost.failed) == (sorted(map(id_of, "bc")), [id_of("a")])
    assert counts(ledger, batch) == {"failed": 1, "queued": 2, "started": 1}
    assert [ledger.job(id_of(chart)).losses for chart in "abcd"] == [2, 1, 1, 0]


def test_a_loss_that_redis_did_not_hear_of_still_leads_to_running_alone(ledger: Ledger) -> None:
    submit(ledger, "a", now=1)
    start(ledger, "a", "e")
    for _ in range(2):  # the maintenance was stopped between ledger and Redis, and comes again
        lost = ledger.lose([(id_of("a"), "e")], max_losses=2, now=2)
        assert (lost.again, lost.failed) == ([id_of("a")], [])
    assert ledger.job(id_of("a")).losses == 1


def test_open_jobs_are_paged_and_name_a_batch_that_wants_them(ledger: Ledger) -> None:
    one = submit(ledger, "abc", now=1)
    two = submit(ledger, "cd", now=2)
    finish(ledger, "b", now=3)
    start(ledger, "a", "e", now=4)
    pages = [ledger.open_jobs(0, 2)]
    pages.append(ledger.open_jobs(pages[0][-1].id, 2))
    found = [job for page in pages for job in page]
    assert [(job.job_id, job.status, job.batch_id) for job in found] == [
        (id_of("a"), "started", one.batch_id),
        (id_of("c"), "queued", two.batch_id),
        (id_of("d"), "queued", two.batch_id),
    ]
    assert (found[0].execution_id, found[0].started_at, found[0].losses) == ("e", 4, 0)
    assert {(job.lane, job.priority) for job in found} == {(QUESTION.lane, "normal")}
    assert [job.job_id for job in ledger.open_jobs(0, 9, batch=one)] == [id_of("a"), id_of("c")]
    ledger.cancel(two, 5)
    assert [job.batch_id for job in ledger.open_jobs(0, 9)] == [one.batch_id] * 2
    assert ledger.open_jobs(0, 9, batch=two) == []


# Reading


def test_counts_sum_usage_and_say_when_the_last_row_ended(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1)
    assert ledger.counts(batch, recent_since=0).last_ended_at is None
    finish(ledger, "a", now=10)
    finish(ledger, "b", now=20)
    fail(ledger, "c", now=30)
    assert ledger.counts(batch, recent_since=15) == Counts(
        total=4,
        queued=1,
        finished=2,
        failed=1,
        prompt_tokens=14,
        completion_tokens=6,
        recent_ended=2,
        lately_ended=3,
        last_ended_at=30,
    )


def test_results_come_in_the_order_of_submission_with_their_answers(ledger: Ledger) -> None:
    batch = submit(ledger, "cab", now=1)
    finish(ledger, "a", "down", now=2)
    rows = list(ledger.results(batch))
    assert [(row.custom_id, row.status) for row in rows] == [
        ("c.png", "queued"),
        ("a.png", "finished"),
        ("b.png", "queued"),
    ]
    row = rows[1]
    assert (row.job_id, row.image, row.model, row.prompt) == (
        id_of("a"),
        "/charts/a.png",
        QUESTION.model,
        QUESTION.prompt,
    )
    assert (row.text, row.raw, row.error, row.attempts) == ("down", {"text": "down"}, None, 1)
    assert (row.prompt_tokens, row.completion_tokens, row.latency_s) == (7, 3, 0.5)
    assert (row.request_id, row.provider, row.finished_at) == ("r", "p", 2)
    assert [row.custom_id for row in ledger.results(batch, status="queued")] == ["c.png", "b.png"]


def test_results_are_read_while_the_batch_goes_on(ledger: Ledger) -> None:
    batch = submit(ledger, [str(n) for n in range(1000)], now=1)
    rows = ledger.results(batch)
    next(rows)
    finish(ledger, "999", now=2)
    assert [row.status for row in rows][-1] == "finished"


def test_a_job_tells_all_about_itself(ledger: Ledger) -> None:
    batch = submit(ledger, "a", now=1)
    finish(ledger, "a", now=2)
    job = ledger.job(id_of("a"))
    assert (job.question, job.custom_id, job.batch_id) == (QUESTION, "a.png", batch.batch_id)
    assert (job.shown.status, job.shown.text, job.shown.raw, job.shown.rehearsal) == (
        "finished",
        "up",
        {"text": "up"},
        False,
    )
    assert (job.created_at, job.queued_at, job.started_at, job.shown.finished_at) == (1, 1, 2, 2)


def test_what_a_database_cant_hold_does_no_harm(ledger: Ledger) -> None:
    batch = submit(ledger, "ab", now=1)
    start(ledger, "a")
    hostile = AnswerRow(
        text="nul \x00 surrogate \udc80 \U0001f4c8",
        raw={"nan": float("nan"), "nul": "\x00", "surrogate": "\ud800"},
        prompt_tokens=10**30,
        completion_tokens=-1,
        provider="\x00",
    )
    answer = Finished(job_id=id_of("a"), execution_id="e", answer=hostile)
    start(ledger, "b")
    assert len(ledger.record([answer, finished("b")], 2)) == 2
    row = next(ledger.results(batch))
    assert row.text == "nul \ufffd surrogate \\udc80 \U0001f4c8"
    assert row.raw == {"nan": None, "nul": "\x00", "surrogate": "\ufffd"}
    assert (row.prompt_tokens, row.completion_tokens, row.provider) == (None, None, "\ufffd")


def test_a_path_that_is_not_utf8_comes_back_as_it_was(ledger: Ledger) -> None:
    name = b"\xff \xe4 chart".decode("utf-8", "surrogateescape") + "\U0001f4c8"
    batch = submit(ledger, [name], now=1)
    assert next(ledger.results(batch)).image == f"/charts/{name}.png"
    submit(ledger, [name], now=2)
    assert next(ledger.results(batch)).custom_id == "\\udcff \\udce4 chart\U0001f4c8.png"
