"""`chartq run`, the whole way in one command: real processes against the rehearsal server."""

import json
import os
import signal
import sqlite3
from pathlib import Path

from support.faults import by_prompt
from support.stack import Stack, draw_charts, eventually, finish

from worker.rehearsal import Rehearsal


def run(user: Stack, *args: str, expect: int) -> dict[str, object]:
    return user.run("run", str(user.folder / "charts"), "-p", "Up?", "--json", *args, expect=expect).json()


def test_every_chart_is_asked_once_and_a_second_run_asks_nothing(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 60)
    (charts / "twin.png").write_bytes((charts / "group-03" / "chart-0031.png").read_bytes())
    (charts / "broken.png").write_bytes((charts / "twin.png").read_bytes()[:60])
    (charts / "empty.png").touch()

    # A producer needs no token and none of the worker's libraries; `run` then takes up the same batch.
    arguments = ("submit", str(charts), "-p", "Up?", "--json")
    submitted = user.run(*arguments, module="jobs", HF_TOKEN="").json()
    first = run(user, expect=0)
    assert submitted["total"] == submitted["queued"] == 61
    assert sorted(Path(reject["path"]).name for reject in submitted["rejected"]) == ["broken.png", "empty.png"]
    assert first["batch_id"] == submitted["batch_id"]
    assert first["status"] == "completed"
    assert len(server.record) == 60

    rows = user.results(submitted["batch_id"])
    assert len(rows) == 61
    assert all(row["status"] == "finished" and row["text"] and row["attempts"] == 1 for row in rows)
    by_id = {row["custom_id"]: row["job_id"] for row in rows}
    assert by_id["twin.png"] == by_id["group-03/chart-0031.png"]

    again = run(user, expect=0)
    assert len(server.record) == 60
    assert again["request_counts"]["finished"] == 61  # type: ignore[index]


def test_ctrl_c_ends_it_and_the_same_command_goes_on(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.2)
    draw_charts(user.folder / "charts", 40)
    process = user.start("run", str(user.folder / "charts"), "-p", "Up?", "--json", "--concurrency", "4")
    eventually(lambda: len(server.record) >= 12)
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    left = ended.json()
    assert left["status"] == "in_progress"
    assert 12 <= left["request_counts"]["finished"] == len(server.record) < 40
    assert left["request_counts"]["started"] == 0

    document = run(user, expect=0)
    assert document["batch_id"] == left["batch_id"]
    assert len(server.record) == 40


def test_sigterm_without_grace_leaves_at_once_and_what_was_in_flight_keeps_its_attempts(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(latency_s=600)  # longer than we wait for its end
    draw_charts(user.folder / "charts", 12)
    arguments = ("run", str(user.folder / "charts"), "-p", "Up?", "--json", "--concurrency", "4", "--grace", "0")
    process = user.start(*arguments)
    eventually(lambda: len(server.record) >= 4)
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert ended.code == 143
    assert ended.json()["request_counts"]["queued"] == 12

    server.behave(latency_s=0.0)
    document = run(user, expect=0)
    assert len(server.record) == 12 + 4
    assert all(row["attempts"] == 1 for row in user.results(str(document["batch_id"])))


def test_its_exit_code_tells_failed_held_and_refused_apart(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 6)
    user.run("run", str(charts), "-p", "Fine?", expect=0)  # else what all fail with alike holds the lane
    server.behave(fault_for=by_prompt({"bad": 422}))
    failed = user.run("run", str(charts), "-p", "bad", "--json", expect=1).json()
    assert failed["status"] == "completed_with_errors"
    assert failed["request_counts"]["failed"] == 6

    server.behave(fault="permission")
    held = user.run("run", str(charts), "-p", "Up?", expect=3)
    assert "on hold (permission)" in held.stdout
    assert "chartq resume" in held.stdout
    assert {call.status for call in server.record[12:]} == {403}

    (user.folder / "none").mkdir()
    (user.folder / "none" / "broken.png").write_bytes(b"\x89PNG")
    refused = user.run("run", str(user.folder / "none"), "-p", "Up?", expect=1)
    assert "broken.png" in refused.stderr
    assert len(user.run("list", "--json").stdout.splitlines()) == 3


def test_a_submit_that_was_killed_is_finished_by_the_next_run(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 1200)
    server.behave(latency_s=0.0, look=False)
    process = user.start("submit", str(charts), "-p", "Up?", "-q")
    results = user.home / "results.sqlite"
    eventually(lambda: results.exists() and _batches(user) == 1, every_s=0.01)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    batch = json.loads(user.run("list", "--json").stdout)
    assert batch["status"] == "in_progress"

    document = run(user, "--concurrency", "32", expect=0)
    assert document["batch_id"] == batch["batch_id"]
    assert document["request_counts"]["finished"] == 1200  # type: ignore[index]
    assert len(server.record) == 1200


def _batches(user: Stack) -> int:
    try:
        with sqlite3.connect(user.home / "results.sqlite") as connection:
            return int(connection.execute("SELECT count(*) FROM batches").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_model_that_only_ever_sends_nothing_ends_in_failures_not_in_an_endless_bill(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(fault="null-content")
    draw_charts(user.folder / "charts", 8)
    process = user.start("run", str(user.folder / "charts"), "-p", "Up?", "--json", RETRY_DELAY="0.1", MAX_RETRIES="1")
    ended = finish(process)
    assert ended.code in (1, 3), "the first five may have held the lane before the others had failed"
    assert ended.json()["request_counts"]["failed"] >= 5
    assert len(server.record) <= 16, "two calls each, as MAX_RETRIES says"


def test_a_hold_is_reported_even_if_another_account_once_passed_here(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 4)
    assert run(user, expect=0)["status"] == "completed"
    server.behave(token="hf_secret_token")
    draw_charts(charts, 4, start=4)
    document = json.loads(user.run("run", str(charts), "-p", "Up?", "--json", expect=3, HF_TOKEN="hf_mistyped").stdout)
    assert document["status"] == "on_hold"
    assert document["hold"]["reason"] == "token"
    assert user.status(document["batch_id"])["status"] == "on_hold"
    user.wait(document["batch_id"], expect=3)


def test_resume_of_a_batch_opens_its_account_though_its_own_lane_was_never_called_for(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(token="hf_right")
    first = draw_charts(user.folder / "first", 1)
    second = draw_charts(user.folder / "second", 1, start=5)
    worker = user.worker("--concurrency", "2")
    held = user.submit(first, VISION_MODEL="org/one")
    user.wait(held, expect=3)
    waiting = user.submit(second, VISION_MODEL="org/two")
    assert user.status(waiting)["status"] == "on_hold"
    server.behave(token=None)
    assert "lane opened" in user.run("resume", waiting).stderr
    user.wait(waiting)
    assert worker.poll() is None
