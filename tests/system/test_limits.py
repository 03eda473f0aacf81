"""The provider's limits, kept together by real worker processes: budgets, refusals, holds, outages."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.faults import by_image, by_prompt
from support.hf_server import Scripted, ScriptedServer, chat_reply
from support.stack import Program, Stack, draw_charts, eventually, stack

from jobs.ledger import Counts
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour()
ENVIRONMENT = {"RETRY_DELAY": "0.2"}

#: Long enough that the gate has closed and been probed in vain.
OUTAGE_S = 3.0


def workers(user: Stack, count: int, *args: str, **environment: Any) -> list[Program]:
    return [user.worker(*args, **environment) for _ in range(count)]


def wait(user: Stack, batch_id: str, *, expect: int = 0) -> Counts:
    """Wait for the batch's end; its counts."""
    user.wait(batch_id, expect=expect)
    return user.counts(batch_id)


def attempts(user: Stack, batch_id: str) -> list[int]:
    return [row["attempts"] for row in user.results(batch_id)]


def test_a_known_budget_is_kept_by_all_workers_together(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.3)
    batch_id = user.submit(draw_charts(user.folder / "charts", 40))
    workers(user, 3, "--concurrency", "8", HF_RATE_LIMIT="5/s")
    assert wait(user, batch_id).finished == 40
    assert server.record.with_status(200) == len(server.record) == 40
    # Permits are 5 in any second; how many of them come together is the machine's doing. A budget each were 15.
    took_s = server.record[-1].at - server.record[0].at
    assert 40 / 7 <= took_s <= 40 / 5 * 4, "the budget is kept, and used"


def test_an_unknown_limit_costs_few_refusals_and_no_chart(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.3, budgets=[(30, 5.0)], hints="retry-after")
    batch_id = user.submit(draw_charts(user.folder / "charts", 100))
    workers(user, 3, "--concurrency", "8", MAX_RETRIES="0")
    assert wait(user, batch_id).finished == 100
    assert server.record.with_status(429) <= 30 + 3 * 8  # test_simulation: thirty, where the machine is never late
    assert set(attempts(user, batch_id)) == {1}


def test_a_cold_start_meets_only_what_was_in_flight(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.1)
    workers(user, 2, "--concurrency", "8", MAX_RETRIES="0")
    batch_id = user.submit(draw_charts(user.folder / "warm", 8))
    assert wait(user, batch_id).finished == 8  # the account is proven: from now on all go at once

    server.behave(cold_start_s=3.0)
    batch_id = user.submit(draw_charts(user.folder / "cold", 30, start=8))
    assert wait(user, batch_id).finished == 30
    assert server.record.with_status(503) <= 2 * 8 + 2
    assert set(attempts(user, batch_id)) == {1}


def test_credits_that_run_out_hold_the_rest_until_resume(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.1, credits=20)
    charts = draw_charts(user.folder / "charts", 60)
    arguments = ("run", str(charts), "-p", "Up?", "--json", "--concurrency", "8")
    held = user.run(*arguments, expect=3).json()
    counts = held["request_counts"]
    assert (held["status"], held["hold"]["reason"]) == ("on_hold", "credits")
    assert (counts["finished"], counts["failed"], counts["queued"]) == (20, 0, 40)
    wasted = server.record.with_status(402)
    assert 1 <= wasted <= 8

    assert user.run(*arguments, expect=3).json()["hold"] == held["hold"]
    assert len(server.record) == 20 + wasted

    user.run("resume")
    user.run(*arguments, expect=3)
    assert server.record.with_status(402) == wasted + 1  # the probe found that nothing has changed

    server.behave(credits=None)
    user.run("resume")
    assert user.run(*arguments, expect=0).json()["request_counts"]["finished"] == 60
    assert server.record.with_status(200) == 60


def test_an_account_on_hold_is_on_hold_for_a_model_that_it_never_asked_too(user: Stack, server: Rehearsal) -> None:
    server.behave(credits=0)
    draw_charts(user.folder / "charts", 2)
    user.run("run", "charts", "-p", "Up?", "--json", expect=3)
    other = ("run", "charts", "-p", "Up?", "-m", "org/other", "--json")
    held = user.run(*other, expect=3).json()
    # Nobody works now: what the last worker's account met is still known.
    assert user.status(held["batch_id"])["hold"]["reason"] == "credits"
    assert user.run("wait", held["batch_id"], "--timeout", "20", expect=3)
    server.behave(credits=None)
    assert "1 lane opened" in user.run("resume", held["batch_id"]).stderr
    assert user.run(*other).json()["request_counts"]["finished"] == 2


def test_a_wrong_token_costs_one_call_and_a_right_one_serves_the_same_queue(user: Stack, server: Rehearsal) -> None:
    server.behave(token="hf_secret_token")
    batch_id = user.submit(draw_charts(user.folder / "charts", 20))
    workers(user, 1, HF_TOKEN="hf_wrong")
    assert wait(user, batch_id, expect=3).queued == 20
    assert user.status(batch_id)["hold"]["reason"] == "token"
    assert server.record.with_status(401) == len(server.record) == 1

    workers(user, 1)
    assert wait(user, batch_id).finished == 20
    assert server.record.with_status(401) == 1


def test_a_model_that_is_not_served_holds_its_own_lane_only(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.1, models=("org/good",))
    charts = draw_charts(user.folder / "charts", 20)
    bad = user.submit(charts, VISION_MODEL="org/bad")
    good = user.submit(charts, VISION_MODEL="org/good")
    workers(user, 1, "--concurrency", "4")
    assert wait(user, good).finished == 20
    assert wait(user, bad, expect=3).queued == 20
    assert user.status(bad)["hold"]["reason"] == "model"
    assert len([call for call in server.record if call.model == "org/bad"]) <= 4


def test_a_lane_that_waits_holds_up_no_other(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.05, hints="retry-after", hint_s=60.0, fault_for=by_prompt({"closed": 429}))
    charts = draw_charts(user.folder / "charts", 12)
    closed = user.submit(charts, prompt="closed", VISION_MODEL="org/closed")
    workers(user, 1, "--concurrency", "2")
    eventually(lambda: server.record.with_status(429) >= 1)
    good = user.submit(charts, VISION_MODEL="org/open")
    assert wait(user, good).finished == 12
    document = user.status(closed)
    assert document["request_counts"]["queued"] == 12
    assert document["resume_at"]
    assert server.record.with_status(429) <= 2


def test_a_server_that_is_away_for_a_while_costs_no_attempts(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.2)
    batch_id = user.submit(draw_charts(user.folder / "charts", 60))
    workers(user, 2, "--concurrency", "6")
    eventually(lambda: len(server.record) >= 18)
    server.stop()
    time.sleep(OUTAGE_S)
    server.start()
    counts = wait(user, batch_id)
    assert (counts.finished, counts.failed) == (60, 0)
    # Two may have been cut off: that many look like charts that fail.
    assert sum(attempts(user, batch_id)) <= 60 + 2


def test_a_stretch_of_502s_costs_no_attempts(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.2)
    batch_id = user.submit(draw_charts(user.folder / "charts", 150))
    workers(user, 2, "--concurrency", "6")
    eventually(lambda: len(server.record) >= 18)
    server.behave(fault=502)
    time.sleep(OUTAGE_S)
    server.behave(fault=None)
    counts = wait(user, batch_id)
    assert (counts.finished, counts.failed) == (150, 0)
    assert 5 <= server.record.with_status(502) <= 24
    # What failed counts only if a call that began later was answered: of the twelve that were in flight when it began.
    assert max(attempts(user, batch_id)) <= 2
    assert sum(attempts(user, batch_id)) <= 150 + 11


def test_six_charts_that_always_fail_are_no_outage(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    first_six = sorted((charts / "group-00").glob("*.png"))[:6]
    server.behave(latency_s=0.5, fault_for=by_image(dict.fromkeys(first_six, 500)))
    batch_id = user.submit(charts)
    workers(user, 1, "--concurrency", "16", MAX_RETRIES="1")
    counts = wait(user, batch_id, expect=1)
    assert (counts.finished, counts.failed) == (54, 6)
    assert server.record.with_status(200) == 54
    assert server.record.with_status(500) <= 6 * 4, "once or twice in what looked like an outage, and twice for itself"
    assert {row["attempts"] for row in user.results(batch_id) if row["status"] == "failed"} == {2}


NO_IMAGES = {"error": {"message": "model does not support image input", "type": "BadRequestError", "code": 400}}


@pytest.mark.parametrize(("reply", "status"), [(NO_IMAGES, 400), ({"error": "Vision add-on is not loaded"}, 200)])
def test_what_every_job_fails_with_holds_the_lane_after_the_first_five(
    tmp_path: Path, reply: dict[str, Any], status: int
) -> None:
    with (
        ScriptedServer(Scripted(reply, status=status)) as server,
        stack(tmp_path, HF_BASE_URL=server.url, HF_TOKEN="hf_secret_token", RETRY_DELAY="0.2") as user,
    ):
        charts = draw_charts(user.folder / "charts", 40)
        ask = ("run", str(charts), "-p", "Up?", "--json", "--concurrency", "16")
        held = user.run(*ask, expect=3).json()
        assert (held["status"], held["hold"]["reason"]) == ("on_hold", "every_job")
        said = "does not support image input" if status == 400 else "Vision add-on is not loaded"
        assert said in held["hold"]["message"]
        calls = [seen for seen in server.seen if seen.method == "POST"]
        # Five; but an error within a 200 is asked about again, and after a second the first call isn't alone any more.
        assert 5 <= len(calls) <= 5 + 16
        user.run("resume")
        assert user.run(*ask, expect=3).json()["hold"]["reason"] == "every_job"


def test_five_broken_charts_of_different_kinds_hold_nothing(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 20)
    first_five = sorted((charts / "group-00").glob("*.png"))[:5]
    server.behave(fault_for=by_image(dict(zip(first_five, (400, 413, 422, 400, 413), strict=True))))
    batch_id = user.submit(charts)
    workers(user, 1, "--concurrency", "1")
    counts = wait(user, batch_id, expect=1)
    assert (counts.finished, counts.failed) == (15, 5)


@pytest.mark.parametrize("flushed", [False, True])
def test_a_lane_that_has_answered_is_not_held_by_what_fails_alike(
    user: Stack, server: Rehearsal, flushed: bool
) -> None:
    charts = draw_charts(user.folder / "charts", 20)
    bad = sorted(charts.rglob("*.png"))[1:12]
    server.behave(fault_for=by_image(dict.fromkeys(bad, 400)), latency_s=0.5)
    batch_id = user.submit(charts)
    workers(user, 1, "--concurrency", "1")
    eventually(lambda: len(server.record) >= 2)
    if flushed:
        with user.redis() as redis:
            redis.flushall()
    counts = wait(user, batch_id, expect=1)
    assert (counts.finished, counts.failed) == (9, 11)


def test_answers_without_content_are_asked_for_again_before_they_hold_anything(user: Stack, server: Rehearsal) -> None:
    server.behave(fault="null-content")
    batch_id = user.submit(draw_charts(user.folder / "charts", 8))
    workers(user, 1, "--concurrency", "8", MAX_RETRIES="3", RETRY_DELAY="3")
    eventually(lambda: len(server.record) >= 8)
    server.behave(fault=None)
    assert wait(user, batch_id).finished == 8


def test_one_chart_that_is_always_refused_does_not_hold_up_the_others(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 21)
    refused = charts / "group-00" / "chart-0004.png"
    server.behave(latency_s=0.1, fault_for=by_image({refused: 429}), hints="retry-after", hint_s=1.0)
    batch_id = user.submit(charts)
    workers(user, 1, "--concurrency", "4", MAX_RETRIES="1")
    counts = wait(user, batch_id, expect=1)
    assert (counts.finished, counts.failed) == (20, 1)
    (failed,) = [row for row in user.results(batch_id) if row["status"] == "failed"]
    assert failed["error"]["type"] == "HFRateLimitError"
    assert failed["attempts"] == 2
    assert failed["throttled"] >= 3


def said(finish_reason: str, **message: Any) -> Scripted:
    told = {"role": "assistant", "content": "", **message}
    return Scripted(chat_reply(choices=[{"index": 0, "message": told, "finish_reason": finish_reason}]))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (said("length", reasoning_content="let me think"), "HFMaxTokensError"),
        (said("stop", content=None, refusal="I can't help."), "HFRefusalError"),
        (said("content_filter"), "HFContentFilterError"),
        (said("tool_calls", tool_calls=[{"id": "call_1"}]), "HFToolCallError"),
    ],
)
def test_an_answer_that_would_be_the_same_again_is_paid_for_once(tmp_path: Path, reply: Scripted, error: str) -> None:
    with ScriptedServer(reply) as server, stack(tmp_path, HF_BASE_URL=server.url, HF_TOKEN="hf_secret_token") as user:
        batch_id = user.submit(draw_charts(user.folder / "charts", 3))
        user.run("worker", "--burst")
        assert [row["error"]["type"] for row in user.results(batch_id)] == [error] * 3
        assert attempts(user, batch_id) == [1, 1, 1]
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Scripted({"error": {"message": "Check your plan.", "code": "insufficient_quota"}}, 429), "credits"),
        (Scripted({"error": {"message": "Who are you?", "code": "invalid_api_key"}}, 200), "token"),
        (Scripted(b"<html><title>Attention Required! | Cloudflare</title></html>", 403), "firewall"),
    ],
)
def test_what_no_waiting_cures_is_on_hold_after_one_call(tmp_path: Path, reply: Scripted, reason: str) -> None:
    with ScriptedServer(reply) as server, stack(tmp_path, HF_BASE_URL=server.url, HF_TOKEN="hf_secret_token") as user:
        draw_charts(user.folder / "charts", 3)
        command = ("run", str(user.folder / "charts"), "-p", "Up?", "--json", "--concurrency", "1")
        document = user.run(*command, expect=3).json()
        assert (document["status"], document["hold"]["reason"]) == ("on_hold", reason)
        assert len(server.seen) == 1


def test_a_throttle_within_a_200_closes_the_gate_and_spends_no_attempt(tmp_path: Path) -> None:
    throttled = Scripted({"error": {"message": "slow down", "code": "rate_limit_exceeded", "retry_after": 2}})
    with (
        ScriptedServer(throttled, Scripted(chat_reply("Up."))) as server,
        stack(tmp_path, HF_BASE_URL=server.url, HF_TOKEN="hf_secret_token", MAX_RETRIES="0") as user,
    ):
        batch_id = user.submit(draw_charts(user.folder / "charts", 3))
        started = time.monotonic()
        user.run("worker", "--burst", "--concurrency", "1")
        assert time.monotonic() - started > 2
        assert attempts(user, batch_id) == [1, 1, 1]
        assert len(server.seen) == 4
