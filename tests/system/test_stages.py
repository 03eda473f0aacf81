"""Stages: a question about each answer of another batch, asked once, by real workers."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from support.stack import Stack, draw_charts, eventually, finish

from worker.rehearsal import Rehearsal

VISION, TEXT = "org/vision", "org/text"
ENVIRONMENT = {"VISION_MODEL": VISION, "REASONING_MODEL": TEXT}


@pytest.fixture
def user(user: Stack) -> Stack:
    draw_charts(user.folder / "charts", 3)
    return user


def calls_of(server: Rehearsal, model: str) -> list[str]:
    return [call.prompt for call in server.record if call.model == model]


def test_each_answer_is_asked_about_once_and_its_braces_stay(user: Stack, server: Rehearsal) -> None:
    first = user.run("run", "charts", "-p", "Say {this}.", "--json").json()["batch_id"]
    ask = ("submit", "--from", first, "-p", "{{sum up}} {custom_id}: {text}", "--json")
    done = user.run(*ask).json()
    assert (done["total"], done["queued"], done["cached"]) == (3, 3, 0)
    user.run("worker", "--burst")
    status = user.status(done["batch_id"])
    assert (status["status"], status["from"], status["model"]) == ("completed", first, TEXT)
    answers = {row["custom_id"]: row["text"] for row in user.results(first)}
    assert sorted(calls_of(server, TEXT)) == sorted(f"{{sum up}} {name}: {text}" for name, text in answers.items())
    assert all("{this}" in text for text in answers.values())  # as the model said it
    assert all(call.image_count == 0 for call in server.record if call.model == TEXT)
    again = user.run(*ask).json()
    assert (again["batch_id"], again["total"], again["queued"]) == (done["batch_id"], 3, 0)
    assert user.status(done["batch_id"])["status"] == "completed"


def test_what_finished_since_and_what_was_refreshed_is_added(user: Stack, server: Rehearsal) -> None:
    first = user.run("run", "charts", "-p", "Up?", "--sample", "2", "--json").json()["batch_id"]
    ask = ("submit", "--from", first, "-p", "Sum up: {text}", "--with-image", "-m", TEXT, "--json")
    stage = user.run(*ask).json()
    assert stage["total"] == 2
    user.run("run", "charts", "-p", "Up?", "--json")
    more = user.run(*ask).json()
    assert (more["batch_id"], more["total"], more["queued"]) == (stage["batch_id"], 3, 1)
    user.run("worker", "--burst")
    assert len(calls_of(server, TEXT)) == 3
    assert all(call.image_count == 1 for call in server.record if call.model == TEXT)
    rows = [json.loads(line) for line in user.run("results", stage["batch_id"], "--with-source").stdout.splitlines()]
    sources = {row["custom_id"]: (row["job_id"], row["text"]) for row in user.results(first)}
    assert {row["custom_id"]: (row["source_job_id"], row["source_text"]) for row in rows} == sources
    assert all(row["source_image"] == row["image"] for row in rows)
    user.run("results", stage["batch_id"], "-o", "report.html")
    assert (user.folder / "report.html").read_text().count('class="source"') == 3


@pytest.mark.parametrize("task", ["image-to-text", "visual-question-answering"])
def test_answers_of_the_classic_tasks_are_asked_about_too(user: Stack, server: Rehearsal, task: str) -> None:
    user.environment |= {"HF_API": "task", "HF_TASK": task, "HF_BASE_URL": server.root_url}
    done = user.run("run", "charts", "-p", "Up?", "--then", "{custom_id}: {text}", "--json").json()
    answers = {row["custom_id"]: row["text"] for row in user.results(done["from"])}
    assert len(answers) == 3
    assert sorted(calls_of(server, TEXT)) == sorted(f"{name}: {text}" for name, text in answers.items())


def test_a_captioning_model_is_asked_nothing_about_an_answer(user: Stack) -> None:
    first = user.run("run", "charts", "-p", "Up?", "--json").json()["batch_id"]
    user.environment |= {"HF_API": "task", "HF_TASK": "image-to-text"}
    said = user.run("submit", "--from", first, "-p", "{text}", "--with-image", expect=2).stderr
    assert "leave --with-image out" in " ".join(said.split())


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (["--then", "{trend}"], "names {trend}, and an answer has {text}, {custom_id}"),
        (["--then", "{text"], "braces don't match"),
        (["--then", " "], "'--then': it is empty"),
        (["--then", os.fsdecode(b"\xff {text}")], "UTF-8"),
        (["--then", "{text}", "--then-model", "a model"], "no model id"),
    ],
)
def test_a_wrong_second_question_is_wrong_usage_before_anything_is_asked(
    user: Stack, server: Rehearsal, second: list[str], says: str
) -> None:
    said = user.run("run", "charts", "-p", "Up?", *second, expect=2).stderr
    assert says in " ".join(said.split())
    assert len(server.record) == 0
    assert user.run("submit", "--from", "b1", "charts", "-p", "x", expect=2).code == 2


def test_where_nothing_is_answered_the_first_stages_document_is_last(user: Stack, server: Rehearsal) -> None:
    ask = ("run", "charts", "-p", "Up?", "--then", "{text}")
    server.behave(fault=402)
    held = user.run(*ask, "--json", expect=3).json()
    assert (held["status"], held["hold"]["reason"], held["from"]) == ("on_hold", "credits", None)
    told = user.run(*ask, expect=3)
    assert "credits" in told.stdout
    assert "nothing was submitted" not in told.stderr
    user.run("resume")
    server.behave(fault=400)
    failed = user.run(*ask, "--json", expect=1).json()
    assert (failed["batch_id"], failed["status"]) == (held["batch_id"], "completed_with_errors")


def test_fields_of_structured_answers_are_filled_in(user: Stack, server: Rehearsal) -> None:
    done = user.run("run", "charts", "--schema", "chart", "--then", "It goes {trend}: {support}", "--json").json()
    assert done["status"] == "completed"
    assert all(prompt.startswith("It goes ") and prompt.endswith("]") for prompt in calls_of(server, TEXT))


def test_both_stages_run_at_once_and_the_second_ones_document_is_last(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    draw_charts(user.folder / "charts", 32)
    ask = ("run", "charts", "-p", "Up?", "--then", "{custom_id}: {text}", "--concurrency", "4", "--json")
    done = user.run(*ask).json()
    assert (done["status"], done["request_counts"]["finished"], done["model"]) == ("completed", 32, TEXT)
    assert user.status(done["from"])["request_counts"]["finished"] == 32
    began = {model: [call.at for call in server.record if call.model == model] for model in (VISION, TEXT)}
    assert min(began[TEXT]) < max(began[VISION]), "the first answers are asked about before the last chart is"
    assert (len(began[VISION]), len(began[TEXT])) == (32, 32)
    assert user.run(*ask).json()["status"] == "completed"
    assert len(server.record) == 64, "asked again, nothing is paid again"


def most_within(times: Sequence[float], window_s: float) -> int:
    return max(sum(at <= later < at + window_s for later in times) for at in times)


def test_two_stages_survive_a_killed_worker_and_a_redis_that_lost_everything(user: Stack, server: Rehearsal) -> None:
    charts, concurrency, budgets = 80, 4, {VISION: 12, TEXT: 16}
    user.environment["HF_RATE_LIMIT"] = ",".join(f"{model}={calls}/s" for model, calls in budgets.items())
    server.behave(latency_s=0.3)
    draw_charts(user.folder / "charts", charts)
    ask = ("run", "charts", "-p", "Up?", "--then", "{custom_id}: {text}")
    run = user.start(*ask, "--concurrency", str(concurrency), "--json")
    other = user.worker("--concurrency", str(concurrency))
    eventually(lambda: len(calls_of(server, TEXT)) >= 10)
    os.killpg(other.pid, signal.SIGKILL)
    with user.redis() as redis:
        redis.flushall()
    lost_at = time.time()
    done = finish(run)
    assert done.code == 0, done.stderr
    second = done.json()
    assert second["request_counts"]["finished"] == charts
    assert user.status(second["from"])["request_counts"]["finished"] == charts
    answers = {row["custom_id"]: row["text"] for row in user.results(second["from"])}
    asked = Counter(calls_of(server, TEXT))
    assert asked.keys() == {f"{name}: {text}" for name, text in answers.items()}
    assert 2 * charts <= len(server.record) <= 2 * charts + concurrency, "only what was in flight is called again"
    for model, calls in budgets.items():
        times = [call.at for call in server.record if call.model == model]
        for part in ([at for at in times if at < lost_at], [at for at in times if at >= lost_at]):
            # A call reaches the server when its thread gets the processor: a second is allowed for.
            assert most_within(part, 3.0) <= calls * (3 + 1), f"{model} has a budget of its own"


def test_stages_are_compared_as_any_batches(user: Stack) -> None:
    first = user.run("run", "charts", "-p", "Up?", "--json").json()["batch_id"]
    ask = ("submit", "--from", first, "-q", "-p")
    short, long = (user.run(*ask, prompt).stdout.strip() for prompt in ("Briefly: {text}", "At length: {text}"))
    user.run("worker", "--burst")
    pairs = [json.loads(line) for line in user.run("compare", short, long, "--format", "jsonl").stdout.splitlines()]
    assert [pair["custom_id"] for pair in pairs] == [row["custom_id"] for row in user.results(first)]
    assert all(pair["a"]["prompt"].startswith("Briefly") and pair["b"]["text"] for pair in pairs)
    user.run("compare", short, long, "-o", "stages.html")
    page = (user.folder / "stages.html").read_text()
    assert page.count('class="source"') == 3, "what both were asked about stands there once"
    assert "no curve seen" in page
    assert "Briefly: {text}" in page
    assert page.count("<img") == 3
    user.run("results", short, "-o", "report.html")
    report = (user.folder / "report.html").read_text()
    assert (report.count("<img"), report.count('class="source"')) == (3, 3), "chart, description and conclusion"
    assert report.count("Briefly: {text}") == 1, "the template stands in the head"
    user.run("compare", first, short, "-o", "both.html")
    assert (user.folder / "both.html").read_text().count('class="card"') == 3
