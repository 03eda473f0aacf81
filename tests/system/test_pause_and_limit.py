"""Pauses and limits with real workers: at once for all of them, kept in the ledger, back after a FLUSHALL."""

import time

import pytest
from support.stack import Stack, draw_charts, eventually

from worker.rehearsal import Behaviour, Rehearsal

MODEL, OTHER = "org/first", "org/second"
BEHAVIOUR = Behaviour(latency_s=0.1)
ENVIRONMENT = {"VISION_MODEL": MODEL}


def is_quiet(server: Rehearsal, for_s: float = 1.5) -> bool:
    """Whether no call begins for a while."""
    before = len(server.record)
    time.sleep(for_s)
    return len(server.record) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_a_paused_model_is_not_called_any_more_and_others_are(user: Stack, server: Rehearsal, workers: int) -> None:
    server.behave(latency_s=0.5)
    charts = draw_charts(user.folder / "charts", 200)
    paused = user.submit(charts)
    other = user.submit(draw_charts(user.folder / "more", 30, start=200), VISION_MODEL=OTHER)
    running = [user.worker("--concurrency", "4") for _ in range(workers)]
    eventually(lambda: len(server.record) >= 20)
    user.run("pause", MODEL)
    told_at = time.time()
    eventually(lambda: user.counts(other).finished == 30)
    eventually(lambda: user.counts(paused).started == 0)
    on_their_way = [call for call in server.record if call.model == MODEL and call.at > told_at]
    assert len(on_their_way) <= 4 * workers
    assert is_quiet(server)
    eventually(lambda: any(f"model {MODEL}: paused by" in worker.said for worker in running))
    document = user.status(paused)
    assert (document["status"], document["hold"]["reason"]) == ("on_hold", "paused")
    assert "paused by" in document["hold"]["message"]
    user.wait(paused, expect=3)
    lane = next(row for row in user.run("lanes", "--json").lines() if row["model"] == MODEL)
    assert (lane["state"], lane["reason"]) == ("on_hold", "paused")
    server.behave(latency_s=0.05)
    user.run("resume", MODEL)
    user.wait(paused)
    assert server.record.with_status(200) == len(server.record) == 230


def test_a_pause_is_back_before_the_first_call_after_redis_lost_everything(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=1.0)  # some are left to pause, also on a slow machine
    batch = user.submit(draw_charts(user.folder / "charts", 60))
    user.worker("--concurrency", "4")
    eventually(lambda: len(server.record) >= 8)
    user.run("pause")
    eventually(lambda: user.counts(batch).started == 0)
    with user.redis() as redis:
        redis.flushall()
    made = len(server.record)
    user.run("resume", batch)  # puts all of it back on its queue; only the batch by name: everything stays paused
    assert is_quiet(server, 3)
    assert len(server.record) == made
    assert user.status(batch)["hold"]["reason"] == "paused"
    server.behave(latency_s=0.05)
    user.run("resume")
    user.wait(batch)
    assert len(server.record) == 60


def test_a_pause_ends_at_its_time(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    batch = user.submit(draw_charts(user.folder / "charts", 100))
    user.worker("--concurrency", "4")
    eventually(lambda: len(server.record) >= 4)
    for what in (batch, MODEL):
        user.run("pause", what, "--until", "1h")
    assert " until " in user.status(batch)["hold"]["message"]
    user.wait(batch, expect=3)
    eventually(lambda: user.counts(batch).started == 0)
    server.behave(latency_s=0.05)
    made, began = len(server.record), time.time()
    for what in (batch, MODEL):
        user.run("pause", what, "--until", "3s")
    eventually(lambda: user.counts(batch).finished == 100)
    assert server.record[made].at >= began + 3
    assert len(server.record) == 100


def test_a_paused_batch_waits_and_what_another_wants_of_it_goes_on(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 30)
    paused = user.submit(charts)
    user.run("pause", paused)
    wanted = user.submit(charts / "group-00")
    user.worker("--concurrency", "4")
    user.wait(wanted)
    assert is_quiet(server)
    counts = user.counts(paused)
    assert counts.queued == 30 - user.counts(wanted).total > 0
    assert user.status(paused)["hold"]["reason"] == "paused"
    user.run("resume", paused)
    user.wait(paused)
    assert len(server.record) == 30
    assert "has ended" in user.run("pause", paused, expect=1).stderr


def test_a_limit_holds_for_all_workers_while_they_run_and_is_lifted_again(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.02)
    batch = user.submit(draw_charts(user.folder / "charts", 400))
    for _ in range(2):
        user.worker("--concurrency", "4", HF_RATE_LIMIT="30/s")
    eventually(lambda: len(server.record) >= 20)
    user.run("limit", MODEL, "5/s")
    time.sleep(2)  # what was given before the change has left the window
    since = time.time()
    time.sleep(3)
    within = [call.at for call in server.record if call.at >= since]
    assert 5 <= len(within) <= 5 * 4 + 5
    lane = next(row for row in user.run("lanes", "--json").lines() if row["model"] == MODEL)
    assert "5/s" in lane["limit"]
    assert lane["workers_budget"] == "30/s"
    assert {window["limit"] for window in lane["budget"]} == {5}
    user.run("limit", MODEL, "none")
    user.wait(batch)
    assert len(server.record) == 400


def test_a_limit_of_calls_in_flight_holds_for_all_workers(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.3)
    user.run("limit", MODEL, "none", "--concurrency", "2")
    batch = user.submit(draw_charts(user.folder / "charts", 16))
    for _ in range(2):
        user.worker("--concurrency", "8")
    user.wait(batch)
    starts = sorted(call.at for call in server.record)
    assert all(later - earlier > 0.2 for earlier, later in zip(starts, starts[2:], strict=False))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pause", "b-unknown"], "no batch"),
        (["pause", "--until", "yesterday"], "write 14:00"),
        (["limit", MODEL, "fast"], "30/h"),
        (["limit", MODEL, "org/x=3/s"], "one model's"),
        (["limit", "a model", "3/s"], "no model id"),
        (["limit", MODEL, "3/s", "--concurrency", "0"], "0"),
    ],
)
def test_what_can_not_be_is_refused_in_words(user: Stack, args: list[str], words: str) -> None:
    assert words in user.run(*args, expect=2 if args[0] == "limit" or "--until" in args else 1).stderr
