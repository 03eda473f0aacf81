"""The commands as the contract has them: data on stdout, words on stderr, exit codes, help, and no surprises."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from rq.suspension import resume, suspend
from support.producer import Producer, command_of, names_of
from support.stack import PATIENCE_S, Stack, draw_charts, finish, stack
from support.terminal import on_a_terminal

from jobs.broker.embedded import embedded_redis
from jobs.cli.main import producer
from worker.main import COMMANDS, chartq
from worker.monitoring.checks.stores import check_redis
from worker.rehearsal import Behaviour, Rehearsal

CONTRACT = {
    *("run", "submit", "list", "status", "wait", "watch", "results", "retry", "cancel", "resume", "lanes", "worker"),
    *("models", "doctor", "demo"),
}


def test_sigterm_while_redis_is_being_loaded_leaves_with_its_code_and_loads_nothing_more() -> None:
    script = """
import sys, click
from jobs.cli.main import run

class Interrupted:  # as if the signal came while redis is loaded, which leaves its modules half-made
    def find_spec(self, name, path=None, target=None):
        if name.startswith("redis"):
            raise SystemExit(143) if not seen else NameError(name)

seen = []
sys.meta_path.insert(0, Interrupted())

@click.command()
def work():
    try:
        import redis
    finally:
        seen.append("redis")

group = click.Group("chartq", {"work": work})
run(group, ["work"])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stderr) == (143, "")


@pytest.mark.parametrize(("number", "code", "said"), [("SIGTERM", 143, ""), ("SIGINT", 130, "\ninterrupted\n")])
def test_a_signal_within_a_finalizer_ends_the_program_as_any_other(number: str, code: int, said: str) -> None:
    script = f"""
import signal, threading, time
import click
from jobs.cli.main import run

start = threading.Thread.start
def start_and_wait(thread):  # a busy machine: who has begun a thread doesn't get on for a while
    start(thread)
    time.sleep(0.5)
threading.Thread.start = start_and_wait

class Dropped:
    def __del__(self):
        signal.raise_signal(signal.{number})

@click.command()
def work():
    dropped = Dropped()
    del dropped
    time.sleep(600)

run(click.Group("chartq", {{"work": work}}), ["work"])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.fixture
def charts(user: Producer) -> Path:
    return draw_charts(user.folder / "charts", 3)


# What there is


def test_every_command_of_the_contract_is_there() -> None:
    assert set(names_of(chartq)) >= CONTRACT
    assert set(names_of(producer)) >= CONTRACT - {"run", "worker", "models", "doctor", "demo"}


@pytest.mark.parametrize("name", sorted(names_of(chartq)))
def test_every_command_has_help_with_an_example_and_words_for_every_option(user: Producer, name: str) -> None:
    command = command_of(chartq, name)
    shown = user.run(name, "--help", commands=chartq).stdout
    assert "Example:" in shown
    assert f"chartq {name}" in shown
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert user.run(name, "-h", commands=chartq).stdout == shown


def test_the_list_of_commands_names_each_with_a_line(user: Producer) -> None:
    helped = user.run("--help", commands=chartq).stdout
    assert all(f"  {name} " in helped and place.summary in helped for name, place in COMMANDS.items())


def test_who_asks_for_help_waits_for_no_library() -> None:
    code = "import sys, worker.main; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"sqlalchemy", "redis", "rq", "PIL", "pydantic", "requests"}


@pytest.mark.parametrize("name", ["status", "list", "results", "errors"])
def test_who_looks_at_what_has_ended_waits_for_no_library(user: Producer, charts: Path, name: str) -> None:
    user.answer(user.submit(charts)["batch_id"])
    code = (
        "import sys, worker.main; from contextlib import suppress\n"
        "with suppress(SystemExit): worker.main.main()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    words = [name, *([] if name == "results" else ["--json"])]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=user.folder
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"redis", "rq", "PIL", "pydantic", "requests", "rich", "socket", "hashlib", "secrets"}


def test_the_program_says_what_it_can_and_which_version_it_is(user: Producer) -> None:
    helped = user.run("--help").stdout
    assert all(name in helped for name in names_of(producer))
    assert "..." not in helped.partition("Ask:")[2], "every command says in a line what it does"
    assert all(len(line) <= 80 for line in user.run("--help", commands=chartq).stdout.splitlines())
    assert "..." not in user.run("--help", commands=chartq).stdout.partition("Ask:")[2]
    assert "version 0.1" in user.run("--version").stdout
    assert "Usage" in user.run(expect=2).stderr


# Wrong usage


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["submit", "charts"], "prompt is empty"),
        (["submit", "charts", "-p", " \n"], "'--prompt': it is empty"),
        (["submit", "charts", "-p", "a", "--prompt-file", "f"], "not both"),
        (["submit", "charts", "--prompt-file", "missing.txt"], "missing.txt"),
        (["submit", "charts", "--prompt-file", "binary"], "UTF-8"),
        (["submit", "charts", "--prompt-file", "nul"], "NUL"),
        (["submit", "charts", "-p", "x" * 200_001], "200,001 characters"),
        (["submit", "charts", "-p", os.fsdecode(b"\xff")], "UTF-8"),
        (["submit", "charts", "-p", "a", "--param", "max_tokens"], "NAME=VALUE"),
        (["submit", "charts", "-p", "a", "--param", "=5"], "NAME=VALUE"),
        (["submit", "charts", "-p", "a", "--param", "model=x"], "chartq's own"),
        (["submit", "charts", "-p", "a", "--param", "x=1e999"], "JSON"),
        (["submit", "charts", "-p", "a", "--param", os.fsdecode(b"x=\xff")], "JSON"),
        (["submit", "charts", "-p", "a", "-m", "a model"], "no model id"),
        (["submit", "charts", "-p", "a", "--colour"], "No such option"),
        (["submit", "-p", "a"], "PATH"),
        (["submit", "", "-p", "a"], "PATH...': it is empty"),
        (["submit", "charts", "", "-p", "a"], "PATH...': it is empty"),
        (["submit", "charts", "-p", "a", "--name", " "], "'--name': it is empty"),
        (["submit", "charts", "-p", "a", "--name", "n" * 501], "501 characters"),
        (["submit", "charts", "-p", "a", "--param", "top_k=1", "--param", "top_k=2"], "top_k is there twice"),
        (["submit", "https://example.com/a.png", "-p", "a"], "is a URL"),
        (["submit", "charts", "--prompt-file", "long"], "more than 200,000 characters"),
        (["submit", "charts", "--prompt-file", "charts"], "text: Is a directory"),
        (["retry"], "BATCH_ID"),
        (["cancel"], "BATCH_ID"),
        (["results", "b1", "-o", "answers.xlsx"], ".jsonl, .ndjson, .json, .csv"),
        (["results", "b1", "-o", "answers.txt"], "--format"),
        (["compare", "b1", "b2", "-o", "both.parquet"], ".html"),
        (["wait", "b1", "--timeout", "soon"], "soon"),
        (["wait", "b1", "--timeout", "-1"], "-1"),
        (["wait", "b1", "--timeout", "nan"], "no number"),
        (["results", "b1", "--format", "xml"], "xml"),
        (["results", "b1", "--status", "done"], "done"),
        (["results", "b1", "-o", "charts"], "directory"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_told_in_words_and_leaves_with_2(
    user: Producer, charts: Path, args: list[str], says: str
) -> None:
    (user.folder / "binary").write_bytes(b"\x80\x81")
    (user.folder / "nul").write_bytes(b"a\0b")
    (user.folder / "long").write_text("x" * 200_001)
    done = user.run(*args, expect=2)
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (user.folder / "home" / "results.sqlite").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HF_API", "telepathy"),
        ("HF_TASK", "smell"),
        ("VISION_MODEL", "a model"),
        ("MAX_RETRIES", "many"),
        ("HF_RATE_LIMIT", "a lot"),
        ("REDIS_URL", "http://x"),
        ("RESULTS_URL", "mysql://x/y"),
        ("IMAGE_MAX_SIDE", "0"),
    ],
)
def test_a_bad_variable_is_named_and_leaves_with_2(
    user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = user.run("submit", charts, "-p", "Up?", expect=2)
    assert variable in done.stderr
    assert done.stdout == ""


def test_where_nothing_is_found_it_says_so_and_where_it_looked(user: Producer) -> None:
    (user.folder / "reports").mkdir()
    (user.folder / "reports" / "notes.txt").write_text("no chart")
    (user.folder / "none.jsonl").write_text("\n")
    for args in (("reports", "-p", "Up?"), ("none.jsonl",)):
        done = user.run("submit", *args, expect=1)
        assert f"found in {args[0]!r}: nothing was submitted" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("command", ["status", "wait", "watch", "results", "retry", "cancel", "resume"])
def test_an_unknown_id_leaves_with_1_and_advice(user: Producer, command: str) -> None:
    done = user.run(command, "b000000-000000", expect=1)
    assert done.stdout == ""
    assert "chartq l" in done.stderr  # list or lanes


def test_what_the_system_refuses_is_told_in_words(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTQ_HOME", "/proc/nowhere")
    done = user.run("list", expect=1)
    assert "/proc/nowhere: No such file or directory. Set CHARTQ_HOME to a folder" in done.stderr
    (user.folder / "file").write_text("")
    monkeypatch.setenv("CHARTQ_HOME", str(user.folder / "file"))
    assert "Not a directory. Set CHARTQ_HOME" in user.run("submit", "charts", "-p", "Up?", expect=1).stderr
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("CHARTQ_HOME", str(user.folder / "home"))
    assert "REDIS_URL" in user.run("lanes", expect=1).stderr


def test_counts_are_told_though_redis_is_away(user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = user.submit(charts)["batch_id"]
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    for command in (("status", batch_id, "--json"), ("list", "--json")):
        told = user.run(*command)
        assert told.json()["request_counts"]["queued"] == 3
        assert "without holds and waiting times: " in told.stderr
    assert user.run("results", batch_id).stderr == ""


def test_what_waits_is_a_lane_before_any_worker_has_come(user: Producer, charts: Path) -> None:
    user.submit(charts)
    row = user.run("lanes", "--json").json()
    assert (row["account"], row["live"], row["state"], row["queued"]) == (None, False, "open", 3)
    assert "3" in user.run("lanes").stdout


def test_rq_suspend_is_told_before_any_worker_has_come(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    with user.session() as session:
        suspend(session.redis)
        held = user.status(batch_id)
        assert (held["status"], held["hold"]["reason"], held["eta_s"]) == ("on_hold", "suspended", None)
        row = user.run("lanes", "--json").json()
        assert (row["account"], row["state"], row["reason"], row["queued"]) == (None, "on_hold", "suspended", 3)
        assert "rq resume" in user.run("wait", batch_id, expect=3).stderr
        workers = check_redis(user.settings)[1]
        assert (workers.ok, workers.todo) == (None, "Let them go on: rq resume.")
        assert "none running" in workers.message
        resume(session.redis)
    assert user.status(batch_id)["status"] == "in_progress"


def test_a_model_is_resumed_though_redis_has_lost_everything(user: Producer, charts: Path) -> None:
    user.submit(charts)
    model = user.run("list", "--json").json()["model"]
    with user.session() as session:
        session.redis.flushall()
    assert "3 jobs put back" in user.run("resume", model).stderr
    assert "no model has such a lane" in user.run("resume", "org/unknown", expect=1).stderr


def test_resume_tells_the_pauses_that_it_ends(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    model = user.status(batch_id)["model"]
    for named in ([model], [batch_id], []):
        user.run("pause", *named)
        assert "1 pause ended" in user.run("resume", *named).stderr
    assert "pause" not in user.run("resume").stderr


def test_resume_counts_what_goes_back_on_its_queue_as_a_batchs_pause_ends(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    for named in ([], [batch_id]):
        user.run("pause", batch_id)
        assert "3 jobs put back on the queue" in user.run("resume", *named).stderr


@pytest.mark.parametrize("name", [" ann", "ann ", "a\nb", "n" * 101])
def test_a_keys_name_is_one_that_can_be_told_from_others(user: Producer, name: str) -> None:
    assert "no name for a key" in user.run("keys", "create", name, expect=1).stderr


def test_an_id_of_any_bytes_is_an_unknown_id(user: Producer) -> None:
    for command in ("status", "results", "cancel"):
        assert "no batch" in user.run(command, "b\udcff", expect=1).stderr


def test_a_home_may_have_any_name(user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = user.folder / "what?x=1 #100%41"
    monkeypatch.setenv("CHARTQ_HOME", str(home))
    with embedded_redis(home):
        user.submit(charts)
    assert (home / "results.sqlite").is_file()


# Documents and lists


def test_submit_prints_the_id_and_tells_the_rest_on_stderr(user: Producer, charts: Path) -> None:
    (charts / "[red]bad[b].png").write_bytes(b"")
    told = user.run("submit", charts, "-p", "Up?", "--name", "[b]mine[/]")
    batch_id = told.stdout.strip()
    assert told.stdout == f"{batch_id}\n"
    assert "[red]bad[b].png" in told.stderr
    assert "3 charts: 3 to ask, 0 answered already" in told.stderr
    assert f"chartq results {batch_id}" in told.stderr
    quiet = user.run("submit", charts, "-p", "Down?", "-q")
    assert quiet.stdout.count("\n") == 1
    assert quiet.stderr == ""

    user.answer(batch_id)
    assert "[b]mine[/]" in user.run("list").stdout
    assert f"{batch_id} completed: 3 finished of 3" in user.run("status", batch_id).stdout
    job_id = user.results(batch_id)[0]["job_id"]
    assert "status: finished" in user.run("status", job_id).stdout


def test_a_prompt_comes_from_a_file_too(user: Producer, charts: Path) -> None:
    (user.folder / "prompt.txt").write_text("\ufeffUp?\nOr down: é?\n", "utf-8")
    batch_id = user.run("submit", charts, "--prompt-file", "prompt.txt", "-q").stdout.strip()
    assert user.results(batch_id)[0]["prompt"] == "Up?\nOr down: é?"
    typed = user.submit(charts, prompt="Up?\nOr down: é?")["batch_id"]
    assert user.results(typed)[0]["job_id"] == user.results(batch_id)[0]["job_id"]


def test_captions_need_no_prompt_and_say_that_none_is_sent(
    user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_API", "task")
    monkeypatch.setenv("HF_TASK", "image-to-text")
    assert user.run("submit", charts, "-q").stderr == ""
    told = user.run("submit", charts, "-p", "Up?", "--json")
    assert "not sent" in told.stderr
    assert user.results(told.json()["batch_id"])[0]["prompt"] == ""


def test_list_is_newest_first_with_one_object_a_line(user: Producer, charts: Path) -> None:
    ids = [user.submit(charts, "--name", name)["batch_id"] for name in ("one", "two", "three")]
    listed = [json.loads(line) for line in user.run("list", "--json").stdout.splitlines()]
    assert [one["batch_id"] for one in listed] == ids[::-1]
    assert listed[0] == user.status(ids[2])
    assert user.run("list").stdout.index("three") < user.run("list").stdout.index("one")


def test_results_are_lines_or_a_table_in_a_file_or_on_stdout(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    assert [row["text"] for row in user.results(batch_id)] == [None] * 3
    user.answer(batch_id, text="=up, surely")
    [first, *_] = user.results(batch_id)
    assert (first["status"], first["text"], first["raw"]) == ("finished", "=up, surely", {"says": "=up, surely"})
    assert user.results(batch_id, "--status", "failed") == []

    told = user.run("results", batch_id, "-o", "answers.csv")
    assert told.stdout == ""
    table = (user.folder / "answers.csv").read_text()
    assert table.startswith("custom_id,status,text,image,")
    assert table.count('"\'=up, surely"') == 3
    assert user.run("results", batch_id, "--format", "csv").stdout == table
    user.run("results", batch_id, "-o", "answers.txt", "--format", "jsonl")
    assert len((user.folder / "answers.txt").read_text().splitlines()) == 3
    assert user.run("results", batch_id, "-o", "-").stdout.count("\n") == 3
    assert "missing" in user.run("results", batch_id, "-o", "missing/x.csv", expect=1).stderr
    user.run("results", batch_id, "-o", "answers.json")
    assert json.loads((user.folder / "answers.json").read_text()) == user.results(batch_id)
    user.run("results", batch_id, "--status", "failed", "-o", "answers.json")
    assert json.loads((user.folder / "answers.json").read_text()) == []


def test_people_are_told_when_by_their_own_clock(user: Producer, charts: Path) -> None:
    job = user.results(str(user.submit(charts)["batch_id"]))[0]["job_id"]
    told = user.run("status", job).stdout
    created = datetime.fromisoformat(user.run("status", job, "--json").json()["created_at"]).astimezone()
    assert f"created_at: {created:%H:%M:%S}\n" in told or f"created_at: {created:%Y-%m-%d %H:%M}\n" in told
    user.run("keys", "create", "ann")
    assert "T" not in user.run("keys", "list").stdout


def test_without_an_id_the_newest_batch_is_looked_at_and_named(user: Producer, charts: Path) -> None:
    for command in ("status", "wait", "watch", "results", "logs"):
        assert "chartq run FOLDER" in user.run(command, expect=1).stderr
    assert "chartq run FOLDER" in user.run("list").stderr
    assert user.run("list", "--json").stdout == ""
    assert "no lane yet" in user.run("lanes").stderr
    assert user.run("lanes", "--json").stdout == ""
    assert "chartq keys create NAME" in user.run("keys", "list").stderr
    user.submit(charts)
    newest = user.submit(charts, prompt="And now?")["batch_id"]
    user.answer(newest)
    for command in ("status", "wait", "watch", "results", "logs"):
        assert f"the newest batch: {newest} (" in user.run(command).stderr
    assert user.run("status", "--json").json()["batch_id"] == newest


def test_where_there_is_only_the_demo_it_says_how_to_open_that(user: Producer) -> None:
    demo = user.settings.chartq_home / "demo"
    demo.mkdir(parents=True)
    (demo / "results.sqlite").touch()
    assert f"CHARTQ_HOME={demo} chartq list" in user.run("list").stderr


def test_status_for_people_tells_what_was_asked_and_what_comes_next(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts, prompt="Up\nor\x1b[31m down?")["batch_id"]
    shown = user.run("status", batch_id).stdout
    assert "question:  Up or\\x1b[31m down?" in shown
    assert f"chartq watch {batch_id}" in shown
    user.answer(batch_id)
    shown = user.run("status", batch_id).stdout
    assert "21 in, 9 out" in shown
    assert f"next:      chartq results {batch_id}" in shown
    assert "Up or" in user.run("list").stdout


def test_no_name_makes_a_line_that_passes_for_ours(user: Producer, charts: Path) -> None:
    next(charts.rglob("*.png")).rename(charts / "a\nerror: fake.png")
    batch_id = user.submit(charts, "--name", "n\nmodel: fake", prompt="Up?\nstatus: fake")["batch_id"]
    [job] = [row["job_id"] for row in user.results(batch_id) if "fake" in row["custom_id"]]
    for command in (["list"], ["status", batch_id], ["status", job], ["results", batch_id, "--format", "markdown"]):
        told = user.run(*command)
        assert not re.search("^(error|model|status): fake", told.stdout + told.stderr, re.MULTILINE), command
    assert "name:      n\\nmodel: fake" in user.run("status", batch_id).stdout


def test_failures_are_told_by_kind_and_asked_again_by_kind(user: Producer, charts: Path) -> None:
    draw_charts(charts, 7)
    batch_id = user.submit(charts)["batch_id"]
    ids = [row["job_id"] for row in user.results(batch_id)]
    for n, job_id in enumerate(ids[:6]):
        message = f"chart-{n}.png is {n}00 px wide" if n < 4 else "Read timed out"
        user.fail(job_id, type_="ImageError" if n < 4 else "HFTimeoutError", message=message)
    kinds = [json.loads(line) for line in user.run("errors", batch_id, "--json").stdout.splitlines()]
    assert [(kind["type"], kind["count"], kind["job_ids"]) for kind in kinds] == [
        ("ImageError", 4, ids[:4]),
        ("HFTimeoutError", 2, ids[4:6]),
    ]
    assert kinds[0]["message"] == "chart-0.png is 000 px wide"
    shown = user.run("errors")
    assert "4  ImageError" in shown.stdout
    assert f"chartq retry {batch_id} --error ImageError" in shown.stderr

    assert "0 jobs queued again" in (told := user.run("retry", batch_id, "--error", "Nonsense").stderr)
    assert f"chartq errors {batch_id}" in told
    assert "2 jobs queued again" in user.run("retry", batch_id, "--error", "HFTimeoutError").stderr
    assert "1 job queued again" in user.run("retry", batch_id, "--match", "CHART-3").stderr
    states = [row["status"] for row in user.results(batch_id)]
    assert states == ["failed"] * 3 + ["queued"] * 4
    assert "3 jobs queued again" in user.run("retry", batch_id).stderr
    assert user.run("errors", batch_id, "--json").stdout == ""
    assert "nothing failed" in user.run("errors", batch_id).stderr


def test_a_batch_is_deleted_and_old_ones_are_pruned_but_none_that_is_in_progress(user: Producer, charts: Path) -> None:
    user.answer(first := user.submit(charts)["batch_id"])
    waiting = user.submit(charts, prompt="And now?")["batch_id"]
    assert f"chartq cancel {waiting} first" in user.run("delete", waiting, expect=1).stderr
    told = user.run("prune", "--older-than", "1s", "--dry-run").stderr
    assert "0 batches would go" in told or f"{first}: 3 rows" in told
    time.sleep(1.1)
    assert "1 batch would go: 3 rows" in user.run("prune", "--older-than", "1s", "--dry-run").stderr
    assert "0 batches gone" in user.run("prune", "--older-than", "1d").stderr
    assert "1 batch gone: 3 rows" in user.run("prune", "--older-than", "1s").stderr
    assert [json.loads(line)["batch_id"] for line in user.run("list", "--json").stdout.splitlines()] == [waiting]
    user.answer(waiting)
    assert "3 rows" in user.run("delete", waiting).stderr
    assert user.run("list", "--json").stdout == ""
    assert user.submit(charts)["cached"] == 0
    assert "90d" in user.run("prune", "--older-than", "soon", expect=2).stderr


def test_a_batch_whose_answers_another_asks_about_stays(user: Producer, charts: Path) -> None:
    user.answer(source := user.submit(charts)["batch_id"])
    stage = user.run("submit", "--from", source, "-p", "Bullish? {text}").stdout.strip()
    assert f"chartq delete {stage} first" in user.run("delete", source, expect=1).stderr
    user.answer(stage)
    time.sleep(1.1)
    assert "2 batches gone" in user.run("prune", "--older-than", "1s").stderr


def test_an_ended_batch_is_watched_in_one_line(user: Producer, charts: Path) -> None:
    user.answer(batch_id := user.submit(charts)["batch_id"])
    assert user.run("watch", batch_id).stderr.count("completed: 3 finished of 3") == 1


def test_a_second_batch_beside_an_unfinished_one_of_the_same_question_is_told(user: Producer, charts: Path) -> None:
    first = user.run("submit", str(charts), "-p", "Up?").stdout.strip()
    again = user.run("submit", str(charts), "-p", "Up?")
    assert f"chartq cancel {first}" in again.stderr
    assert f"chartq cancel {again.stdout.strip()}" in again.stderr
    user.answer(first)
    assert "chartq cancel" not in user.run("submit", str(charts), "-p", "Up?").stderr


def test_logs_of_rows_that_an_earlier_batch_asked_for_say_where_to_look(user: Producer, charts: Path) -> None:
    user.answer(first := user.submit(charts)["batch_id"])
    draw_charts(charts, 4)
    second = user.submit(charts)["batch_id"]
    told = user.run("logs", second).stderr
    assert f"3 in {first}" in told
    assert f"chartq logs {first}" in told
    assert "chartq logs" not in user.run("logs", first).stderr


def test_wait_says_when_only_another_submit_can_end_it(
    user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.cli.batch_commands._Unsubmitted._AFTER_S", 0.0)
    user.answer(batch_id := user.submit(charts)["batch_id"])
    with user.session() as session:
        session.ledger.unseal(session.ledger.batch(batch_id))  # as a submit leaves it that was killed
    late = user.run("wait", batch_id, "--timeout", "1.2", expect=124)
    assert late.stderr.count("submit it again as before") == 2  # while it waits, and at the end
    user.submit(charts)
    assert user.run("wait", batch_id).stderr.count("submit it again") == 0


def test_wait_leaves_with_what_became_of_the_batch(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    began = time.monotonic()
    late = user.run("wait", batch_id, "--timeout", "0.3", "--json", expect=124)
    assert time.monotonic() - began >= 0.3
    assert late.json()["status"] == "in_progress"
    user.fail(user.results(batch_id)[0]["job_id"])
    user.answer(batch_id)
    for command in ("wait", "watch"):
        done = user.run(command, batch_id, expect=1)
        assert done.stdout == ""
        assert "2 finished, 1 failed of 3" in done.stderr
    user.run("status", batch_id)
    canceled = user.submit(charts, prompt="Other?")["batch_id"]
    user.run("cancel", canceled)
    user.run("wait", canceled, expect=1)
    user.run("results", canceled)
    user.answer(fine := user.submit(charts, prompt="Third?")["batch_id"])
    user.run("wait", fine)
    user.run("watch", fine)


# As processes


@pytest.fixture
def machine(user: Producer) -> Iterator[Stack]:
    """Real processes, for what needs them, in the same folder and home as `user`'s quick commands."""
    with stack(user.folder) as made:
        yield made


def test_the_producers_half_works_without_requests_and_without_a_token(machine: Stack, user: Producer) -> None:
    (machine.folder / "site").mkdir()
    (machine.folder / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'requests', 'urllib3', 'worker'}:\n"
        "            raise ModuleNotFoundError(f'no {name} here', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
    )
    draw_charts(machine.folder / "charts", 2)
    without: dict[str, Any] = {"module": "jobs", "PYTHONPATH": str(machine.folder / "site")}
    check = [sys.executable, "-c", "import requests"]
    assert subprocess.run(check, env={**machine.environment, **without}, capture_output=True).returncode == 1
    done = machine.run("submit", "charts", "-p", "Up?", "--json", **without)
    assert done.json()["total"] == 2
    assert user.status(done.json()["batch_id"])["status"] == "in_progress"


def test_a_held_lane_is_told_by_wait_watch_and_lanes_until_it_is_resumed(
    machine: Stack, user: Producer, charts: Path
) -> None:
    with Rehearsal(Behaviour(token="another")) as server:
        machine.environment |= {"HF_BASE_URL": server.base_url, "HF_TOKEN": "hf_wrong"}
        batch_id = user.submit(charts)["batch_id"]
        worker = machine.worker()
        held = user.run("wait", batch_id, "--json", expect=3).json()
        assert (held["status"], held["hold"]["reason"], held["request_counts"]["failed"]) == ("on_hold", "token", 0)
        assert set(held["hold"]) == {"reason", "message", "since"}
        assert user.run("watch", batch_id, expect=3).stdout == ""
        [lane] = [json.loads(line) for line in user.run("lanes", "--json").stdout.splitlines()]
        assert (lane["state"], lane["reason"], lane["model"]) == ("on_hold", "token", held["model"])
        assert {"account", "closed_until", "budget", "in_flight", "queued"} <= set(lane)
        assert "hf_wrong" not in json.dumps(lane)
        assert "on hold (token)" in user.run("lanes").stdout

        server.behave(token=None)
        assert "1 lane opened" in user.run("resume", held["model"]).stderr
        assert user.run("wait", batch_id, "--json").json()["request_counts"]["finished"] == 3
        worker.send_signal(signal.SIGTERM)
        assert finish(worker).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_wait_says_nothing_but_leaves_with_the_signals_code(
    machine: Stack, user: Producer, charts: Path, number: signal.Signals, code: int
) -> None:
    batch_id = user.submit(charts)["batch_id"]
    process = machine.start("watch", batch_id, module="jobs")
    assert process.stderr is not None
    assert batch_id in process.stderr.readline()
    process.send_signal(number)
    done = finish(process)
    assert done.code == code
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_trouble(machine: Stack, user: Producer) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 300), prompt="x" * 2000)["batch_id"]
    for command in (f"results {batch_id}", "list --json"):
        line = f"set -o pipefail; {sys.executable} -m jobs {command} | head -c 10"
        done = subprocess.run(
            ["bash", "-c", line], cwd=machine.folder, env=machine.environment, capture_output=True, text=True
        )
        assert len(done.stdout) == 10
        assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("environment", "plain"),
    [({"NO_COLOR": "1", "TERM": "xterm"}, True), ({"TERM": "dumb"}, True), ({"TERM": "xterm-256color"}, False)],
)
def test_a_terminal_gets_colour_only_if_it_wants_it(
    machine: Stack, user: Producer, charts: Path, environment: dict[str, str], plain: bool
) -> None:
    del machine.environment["NO_COLOR"]
    batch_id = user.submit(charts, "--name", "mine", "-m", "org/" + "x" * 60)["batch_id"]
    shown = on_a_terminal("jobs", "list", folder=machine.folder, environment=machine.environment | environment)
    assert "mine" in shown
    assert batch_id in shown, "80 columns cut off many things, never an id"
    assert ("\x1b" not in shown) == plain


def test_nothing_is_coloured_on_a_pipe_and_any_locale_will_do(machine: Stack, user: Producer, charts: Path) -> None:
    (charts / "é📈.png").write_bytes((charts / "group-00" / "chart-0000.png").read_bytes())
    forced: dict[str, Any] = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "PYTHONIOENCODING": "ascii", "NO_COLOR": ""}
    batch_id = user.submit(charts, "--name", "📈", prompt="Größer?")["batch_id"]
    listed = machine.run("list", module="jobs", **forced)
    rows = machine.run("results", batch_id, module="jobs", **forced)
    assert "\x1b" not in listed.stdout + rows.stdout
    assert "📈" in listed.stdout
    assert "é📈.png" in rows.stdout
