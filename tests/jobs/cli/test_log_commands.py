"""`chartq logs`: what happened, in order of time, from files that are private, bounded and never cost a job."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.producer import producer_in
from support.stack import Stack, draw_charts, stack

from jobs.cli.log_commands import words
from jobs.config.log_dir import log_folder, read_entries
from jobs.config.settings import Settings
from worker.engine.event_log import log_ending
from worker.engine.exchange import Lease
from worker.engine.execute import ExecutionResult
from worker.engine.policy import Done
from worker.engine.settlement import FinishedExecution
from worker.monitoring.log_file import LogFile, prune
from worker.monitoring.logging_setup import JsonFormatter
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(first_faults=[None, 502, 429], hints="retry-after", hint_s=1)


@pytest.fixture
def user(server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token", RETRY_DELAY="0.1") as made:
        yield made


def run(user: Stack, *args: str) -> str:
    done = user.run("run", "charts", "-p", "Up?", "--json", "--concurrency", "4", *args)
    return str(done.json()["batch_id"])


def test_a_job_that_runs_alone_is_logged_with_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    """The queue of such jobs is its lane's, and names no batch."""
    lease = Lease(job="j", execution="e", queue="chat:org/model@alone", lane="chat:org/model")
    with caplog.at_level(logging.INFO, "chartq.worker"):
        log_ending(
            FinishedExecution(
                lease=lease, ended=ExecutionResult(outcome=Done(), called=True), batch_id="b261122-k3x9qa"
            )
        )
    [record] = caplog.records
    assert vars(record)["batch_id"] == "b261122-k3x9qa"


# The whole way


def test_a_batchs_log_tells_all_that_happened_and_a_jobs_its_own(user: Stack) -> None:
    draw_charts(user.folder / "charts", 6)
    batch_id = run(user)
    lines = user.run("logs", batch_id, module="jobs").stdout.splitlines()
    told = "\n".join(lines)
    assert told.count("  started") == 8
    assert told.count("  finished in ") == 6
    assert "failed for now, again in 0 s: HFServerError: The server failed (502)" in told
    assert "refused, to come again in 1 s: HFRateLimitError: Too many requests (429)" in told
    assert "started, attempt 2" in told
    assert "no call before" in told
    assert "(throttled)" in told
    assert [line[:19] for line in lines] == sorted(line[:19] for line in lines)
    assert user.run("logs", batch_id, "-n", "2").stdout.splitlines() == lines[-2:]

    failed = next(row for row in user.results(batch_id) if row["attempts"] == 2)
    entries = [json.loads(line) for line in user.run("logs", failed["job_id"], "--json").stdout.splitlines()]
    assert [entry["event"] for entry in entries] == ["job started", "job transient", "job started", "job done"]
    assert {entry["custom_id"] for entry in entries} == {failed["custom_id"]}
    assert entries[1]["status_code"] == 502

    [file] = (user.home / "logs").iterdir()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert "hf_secret_token" not in file.read_text()


def test_another_batch_of_the_same_charts_has_a_log_of_its_own(user: Stack) -> None:
    draw_charts(user.folder / "charts", 3)
    first = run(user)
    second = run(user, "--name", "again", "--refresh")
    assert first != second
    of_second = user.run("logs", second).stdout
    assert of_second.count("finished in") == 3
    assert "502" not in of_second


def test_where_no_log_can_be_written_the_work_goes_on(user: Stack) -> None:
    draw_charts(user.folder / "charts", 2)
    user.home.mkdir()
    (user.home / "logs").write_text("somebody's file")
    run(user)
    assert (user.home / "logs").read_text() == "somebody's file"


def test_where_nothing_is_known_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        assert "chartq list" in user.run("logs", "b000000-000000", expect=1).stderr
        batch_id = user.submit(draw_charts(user.folder / "charts", 1))["batch_id"]
        told = user.run("logs", batch_id)
        assert (told.stdout, f"chartq status {batch_id}" in told.stderr) == ("", True)


def test_where_the_home_holds_neither_queue_nor_results_stderr_is_the_log(tmp_path: Path) -> None:
    both: dict[str, Any] = {"redis_url": "redis://r", "results_url": "postgresql://p/x"}
    assert log_folder(Settings(chartq_home=tmp_path, **both)) is None
    for one in both:
        assert log_folder(Settings(chartq_home=tmp_path, **{one: both[one]})) == tmp_path / "logs"


# The files


def log_file(folder: Path, **bounds: int) -> LogFile:
    file = LogFile(folder, **bounds)
    file.setFormatter(JsonFormatter())
    return file


def write(file: LogFile, message: str, at: float = 0.0) -> None:
    record = logging.LogRecord("chartq.worker", logging.INFO, "", 0, message, (), None)
    record.created = at
    file.handle(record)


def messages(folder: Path) -> list[str]:
    return [entry["message"] for entry in read_entries(folder, lambda _entry: True)]


def test_what_several_processes_wrote_is_told_in_order_of_time(tmp_path: Path) -> None:
    one, other = log_file(tmp_path / "logs", file_bytes=600), log_file(tmp_path / "logs")
    for at in range(20):
        write(one if at % 3 else other, str(at), at)
    assert len(list((tmp_path / "logs").iterdir())) > 2, "one of them has turned over"
    assert messages(tmp_path / "logs") == [str(at) for at in range(20)]


def test_a_cut_off_line_and_what_is_no_log_are_passed_over(tmp_path: Path) -> None:
    file = log_file(tmp_path / "logs")
    write(file, "good")
    [path] = (tmp_path / "logs").iterdir()
    with path.open("ab") as end:
        end.write(b'[1]\n{"no": "ts"}\n{"ts": 5}\n\xff\xfe\n{"ts": "2026-11-22T1')
    assert messages(tmp_path / "logs") == ["good"]
    assert messages(tmp_path / "missing") == []


def test_a_process_keeps_so_many_bytes_and_no_more(tmp_path: Path) -> None:
    file = log_file(tmp_path / "logs", file_bytes=1000, files=3)
    for number in range(200):
        write(file, f"line {number}", number)
    kept = list((tmp_path / "logs").iterdir())
    assert len(kept) == 3
    assert all(path.stat().st_size <= 1000 for path in kept)
    told = messages(tmp_path / "logs")
    assert told == [f"line {number}" for number in range(200)][-len(told) :]
    assert len(told) > 10


def test_the_oldest_make_room_but_not_those_of_the_living(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    living = log_file(folder)
    write(living, "I live")
    for number in range(5):
        (folder / f"19990101T00000{number}Z-1-aaaaaa-000000.jsonl").write_bytes(b"x" * 100)
    prune(folder, files=3, total_bytes=10_000)
    assert [path.name[:16] for path in sorted(folder.iterdir())[:-1]] == ["19990101T000003Z", "19990101T000004Z"]
    prune(folder, files=3, total_bytes=0)
    assert messages(folder) == ["I live"]


def test_a_full_disk_costs_lines_not_jobs(tmp_path: Path) -> None:
    file = log_file(tmp_path / "logs")
    os.dup2(os.open("/dev/full", os.O_WRONLY), file._descriptor)
    write(file, "nowhere to go")
    assert messages(tmp_path / "logs") == []


# The words


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"event": "job started", "attempt": 1}, "started"),
        ({"event": "job started", "attempt": 3}, "started, attempt 3"),
        ({"event": "job done", "latency_s": 2.345}, "finished in 2.3 s"),
        (
            {"event": "job transient", "error": "HFServerError", "message": "ab transient: 502", "again_in_s": 4.0},
            "failed for now, again in 4 s: HFServerError: 502",
        ),
        (
            {"event": "job transient", "error": "HFServerError", "message": "ab transient: 502"},
            "failed: HFServerError: 502",
        ),
        ({"event": "job throttled", "error": "E", "message": "ab throttled: 429: no"}, "refused: E: 429: no"),
        ({"event": "job refused", "error": "ImageError", "message": "ab refused: bad"}, "failed: ImageError: bad"),
        ({"event": "job hold", "error": "E", "message": "org/m on hold: add credits"}, "on hold: E: add credits"),
        ({"event": "anything", "message": "2 jobs were lost: they run again"}, "2 jobs were lost: they run again"),
    ],
)
def test_each_event_has_its_words(entry: dict[str, Any], says: str) -> None:
    assert words(entry) == says
