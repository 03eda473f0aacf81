"""Too many failures put a batch on hold: what counts, what it stops, and how it goes on. On both stores."""

import dataclasses
from collections.abc import Iterable

import pytest
from support.stores import finished, id_of, members_of, open_batch, start, submit

from jobs.core.errors import InputError
from jobs.core.failure_limit import FailureLimit
from jobs.ledger import Batch, Failed, Ledger, Returned


def fail(ledger: Ledger, charts: Iterable[str], *, now: float, error: str = "ImageError") -> None:
    """Each chart is started and fails, in a transaction of its own."""
    for chart in charts:
        start(ledger, chart, now=now)
        ledger.record([failed(chart, error)], now)


def failed(chart: str, error: str = "ImageError") -> Failed:
    return Failed(job_id=id_of(chart), execution_id="e", error_type=error, message=f"{chart} is\ndamaged")


def finish(ledger: Ledger, charts: Iterable[str], *, now: float) -> None:
    for chart in charts:
        start(ledger, chart, now=now)
    ledger.record([finished(chart) for chart in charts], now)


def held(ledger: Ledger, batch: Batch) -> bool:
    return ledger.batch(batch.batch_id).hold is not None


def startable(ledger: Ledger, charts: Iterable[str]) -> str:
    """Those of the charts that a worker may call for."""
    return "".join(chart for chart in charts if ledger.start([(id_of(chart), "e")], 99))


# The limit as a value


@pytest.mark.parametrize(
    ("spelled", "limit"),
    [
        ("1", FailureLimit(count=1)),
        (" 20 ", FailureLimit(count=20)),
        ("5%", FailureLimit(percent=5)),
        ("0.5 %", FailureLimit(percent=0.5)),
        ("100%", FailureLimit(percent=100)),
    ],
)
def test_a_limit_is_a_count_or_a_share(spelled: str, limit: FailureLimit) -> None:
    assert FailureLimit.parse(spelled) == limit
    assert FailureLimit.parse(str(limit)) == limit


@pytest.mark.parametrize("spelled", ["", "0", "-1", "1.5", "0%", "101%", "%", "five", "5%%", "9" * 10, "٥"])
def test_anything_else_is_refused_with_what_would_do(spelled: str) -> None:
    with pytest.raises(InputError, match=r"as in 20, .* as in 5%"):
        FailureLimit.parse(spelled)


@pytest.mark.parametrize(
    ("limit", "failed", "ended", "reached"),
    [
        ("3", 0, 0, False),
        ("3", 2, 500, False),
        ("3", 3, 3, True),
        ("3", 9, 9, True),
        ("10%", 0, 0, False),
        ("10%", 1, 20, False),
        ("10%", 2, 19, False),  # enough, but too early
        ("10%", 2, 20, True),
        ("10%", 2, 21, False),
        ("10%", 50, 501, False),
        ("10%", 30, 1000, False),
        ("0.5%", 0, 0, False),
        ("100%", 19, 20, False),
        ("100%", 20, 20, True),
    ],
)
def test_how_many_failures_are_too_many(limit: str, failed: int, ended: int, reached: bool) -> None:
    assert FailureLimit.parse(limit).is_reached(failed=failed, ended=ended) == reached


# When


def test_at_so_many_failures_the_batch_goes_on_hold_and_not_before(ledger: Ledger) -> None:
    batch = submit(ledger, "abcdef", now=1, max_failures="3")
    fail(ledger, "ab", now=2)
    finish(ledger, "c", now=2)
    assert not held(ledger, batch)
    fail(ledger, "d", now=3, error="HFRequestError")
    hold = ledger.batch(batch.batch_id).hold
    assert hold is not None
    assert (hold.reason, hold.since) == ("too_many_failures", 3)
    assert hold.message.startswith(
        "3 of the 4 charts that have ended failed (--max-failures 3); 2 times it was ImageError, for example: "
        "b is damaged - "
    )
    assert f"`chartq retry {batch.batch_id}`" in hold.message
    assert f"`chartq resume {batch.batch_id}`" in hold.message
    assert [one.batch_id for one in ledger.held()] == [batch.batch_id]


def test_a_share_is_looked_at_from_twenty_ended_on(ledger: Ledger) -> None:
    charts = [f"c{n}" for n in range(100)]
    batch = submit(ledger, charts, now=1, max_failures="10%")
    fail(ledger, charts[:10], now=2)
    finish(ledger, charts[10:19], now=2)
    assert not held(ledger, batch), "10 of 19"
    finish(ledger, charts[19:60], now=2)
    assert not held(ledger, batch), "nothing has failed since the share counts"
    fail(ledger, charts[60:61], now=3)
    assert held(ledger, batch), "11 of 61"


def test_a_share_that_is_kept_never_holds(ledger: Ledger) -> None:
    charts = [f"c{n}" for n in range(200)]
    batch = submit(ledger, charts, now=1, max_failures="10%")
    for first in range(0, 200, 20):
        finish(ledger, charts[first : first + 19], now=2)
        fail(ledger, charts[first + 19 : first + 20], now=2)
        assert not held(ledger, batch)


def test_many_failures_in_one_report_count_all(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1, max_failures="3")
    for chart in "abc":
        start(ledger, chart)
    ledger.record([failed(chart) for chart in "abc"], 2)
    assert held(ledger, batch)


def test_a_job_that_fails_with_its_worker_counts(ledger: Ledger) -> None:
    batch = submit(ledger, "ab", now=1, max_failures="1")
    start(ledger, "a")
    assert ledger.lose([(id_of("a"), "e")], max_losses=0, now=2).failed == [id_of("a")]
    assert held(ledger, batch)


def test_what_failed_before_the_batch_or_for_others_only_does_not_count(ledger: Ledger) -> None:
    submit(ledger, "abc", now=1)
    fail(ledger, "abc", now=2)
    batch = submit(ledger, "abcd", now=3, max_failures="2")
    other = submit(ledger, "xyz", now=3)
    fail(ledger, "xyz", now=4)
    fail(ledger, "a", now=4)
    assert not held(ledger, batch)
    assert not held(ledger, other)
    fail(ledger, "b", now=5)
    assert held(ledger, batch)


def test_answers_that_were_there_before_say_nothing_about_the_share(ledger: Ledger) -> None:
    old, new = [f"o{n}" for n in range(300)], [f"n{n}" for n in range(30)]
    submit(ledger, old, now=1)
    finish(ledger, old, now=2)
    batch = submit(ledger, [*old, *new], now=3, max_failures="50%")
    fail(ledger, new[:20], now=4)
    assert held(ledger, batch), "20 of 20 that were asked"


def test_what_was_there_before_says_nothing_however_many_pieces_the_batch_is_written_in(ledger: Ledger) -> None:
    old, new = [f"o{n}" for n in range(300)], [f"n{n}" for n in range(30)]
    submit(ledger, old, now=1)
    finish(ledger, old, now=2)
    batch = open_batch(ledger, now=3, max_failures="50%")
    rows = members_of([*old, *new])
    for first in range(0, len(rows), 110):
        ledger.add_members(batch, rows[first : first + 110], refresh=False, count_rehearsals=False, now=3)
    fail(ledger, new[:19], now=4)
    assert not held(ledger, batch)
    fail(ledger, new[19:20], now=4)
    assert held(ledger, batch), "20 of 20 that were asked"


# What it stops


def test_a_held_batchs_jobs_are_not_started_and_those_in_flight_end(ledger: Ledger) -> None:
    batch = submit(ledger, "abcdef", now=1, max_failures="1")
    for chart in "bcd":
        start(ledger, chart)
    fail(ledger, "a", now=2)
    assert startable(ledger, "ef") == ""
    ledger.record([finished("b"), failed("c")], 3)
    ledger.record([Returned(job_id=id_of("d"), execution_id="e")], 3)
    assert startable(ledger, "d") == ""
    counts = ledger.counts(batch, recent_since=0)
    assert (counts.finished, counts.failed, counts.queued, counts.total) == (1, 2, 3, 6)
    assert {job.batch_id for job in ledger.open_jobs(0, 10)} == {None}
    hold = ledger.batch(batch.batch_id).hold
    assert hold is not None
    assert hold.since == 2, "the first hold stays"


def test_what_another_batch_wants_as_well_goes_on(ledger: Ledger) -> None:
    one = submit(ledger, "abcd", now=1)
    two = submit(ledger, "bcde", now=1, max_failures="1")
    fail(ledger, "e", now=2)
    assert {job.job_id: job.batch_id for job in ledger.open_jobs(0, 9)} == {
        id_of(chart): one.batch_id for chart in "abcd"
    }
    assert ledger.start([(id_of("b"), "e")], 3)[id_of("b")].batch_id == one.batch_id
    assert startable(ledger, "cd") == "cd"
    ledger.record([finished("b")], 4)
    assert ledger.counts(two, recent_since=0).finished == 1


def test_what_is_added_to_a_held_batch_waits_too(ledger: Ledger) -> None:
    batch = open_batch(ledger, now=1, max_failures="1")
    ledger.add_members(batch, members_of("ab"), refresh=False, count_rehearsals=False, now=1)
    fail(ledger, "a", now=2)
    added = ledger.add_members(batch, members_of("abcd"), refresh=False, count_rehearsals=False, now=3)
    assert added.queue == []
    assert startable(ledger, "bcd") == ""
    ledger.resume(batch)
    assert startable(ledger, "bcd") == "bcd"


# How it goes on


def test_resume_goes_on_and_counts_anew(ledger: Ledger) -> None:
    batch = submit(ledger, "abcdef", now=1, max_failures="2")
    start(ledger, "c")
    fail(ledger, "ab", now=2)
    ledger.record([failed("c")], 3)  # was in flight
    assert ledger.resume(batch)
    assert not ledger.resume(batch)
    assert not held(ledger, batch)
    fail(ledger, "d", now=5)
    assert not held(ledger, batch)
    fail(ledger, "e", now=6)
    assert held(ledger, batch)
    assert "2 of the 2 charts" in str(ledger.batch(batch.batch_id).hold)


def test_retry_asks_what_failed_again_and_goes_on(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1, max_failures="2")
    fail(ledger, "ab", now=2)
    assert set(ledger.retry(batch, 3)) == {id_of("a"), id_of("b")}
    assert not held(ledger, batch)
    fail(ledger, "a", now=4)
    assert not held(ledger, batch)
    fail(ledger, "b", now=5)
    assert held(ledger, batch)


def test_failures_that_were_forgiven_and_then_asked_again_count_anew(ledger: Ledger) -> None:
    batch = submit(ledger, "abcd", now=1, max_failures="2")
    fail(ledger, "ab", now=2)
    assert ledger.resume(batch)
    ledger.retry(batch, 3)
    fail(ledger, "a", now=4)
    assert not held(ledger, batch)
    fail(ledger, "b", now=5)
    assert held(ledger, batch)


def test_cancel_ends_a_held_batch_and_keeps_what_only_others_on_hold_want(ledger: Ledger) -> None:
    one = submit(ledger, "abc", now=1)
    two = submit(ledger, "bcd", now=1, max_failures="1")
    fail(ledger, "d", now=2)
    canceled = ledger.cancel(one, 3)
    assert (canceled.count, canceled.kept) == (3, [])
    assert [ledger.job(id_of(chart)).shown.status for chart in "abc"] == ["canceled", "queued", "queued"]
    assert ledger.counts(two, recent_since=0).queued == 2
    assert ledger.cancel(two, 4).count == 2
    assert not held(ledger, two)
    assert ledger.open_jobs(0, 9) == []


def test_another_limit_counts_from_the_next_failure_on(ledger: Ledger) -> None:
    batch = submit(ledger, "abcdef", now=1)
    fail(ledger, "ab", now=2)
    ledger.limit_failures(batch, FailureLimit(count=3))
    assert not held(ledger, batch)
    ledger.limit_failures(batch, FailureLimit(count=4))
    fail(ledger, "c", now=3)
    assert not held(ledger, batch)
    fail(ledger, "d", now=3)
    assert held(ledger, batch)
    assert ledger.batch(batch.batch_id).max_failures == FailureLimit(count=4)


def test_without_a_limit_nothing_is_held(ledger: Ledger) -> None:
    batch = submit(ledger, "abc", now=1)
    fail(ledger, "abc", now=2)
    assert dataclasses.replace(ledger.batch(batch.batch_id), total=3) == batch
