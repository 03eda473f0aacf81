"""Files that change or go away between submit and run, and prompts of every size: never another picture's answer."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.executions import job_about, task_of
from support.hf_server import ok, raw_server, read_request
from support.producer import Producer, producer_in
from support.stack import draw_charts

from jobs.core.job import Question
from jobs.submit.question import MAX_PROMPT_CHARS
from worker.engine.execute import ChartChangedError
from worker.engine.policy import Refused
from worker.hf_client import HFConfig, HFRequestError, HuggingFaceClient
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.01)


@pytest.fixture
def user(server: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    with producer_in(tmp_path, monkeypatch) as made:
        monkeypatch.setenv("HF_BASE_URL", server.base_url)
        yield made


def work() -> None:
    """A worker, in the user's folder and environment, until there is nothing to do."""
    subprocess.run([sys.executable, "-m", "worker.main", "worker", "--burst"], check=True, capture_output=True)


def test_a_chart_that_changed_or_went_away_fails_uncalled_and_its_answer_is_never_anothers(
    user: Producer, server: Rehearsal
) -> None:
    folder = draw_charts(user.folder / "charts", 6) / "group-00"
    changed, gone, one, other, moved, kept = sorted(folder.iterdir())
    twin = user.folder / "charts" / "twin.png"
    shutil.copy(moved, twin)
    batch_id = user.submit(user.folder / "charts")["batch_id"]
    changed.write_bytes(kept.read_bytes())
    gone.unlink()
    os.rename(one, folder / "swap")
    os.rename(other, one)
    os.rename(folder / "swap", other)
    moved.unlink()

    work()
    rows = {row["custom_id"].rpartition("/")[2]: row for row in user.results(batch_id)}
    for chart in (changed, one, other):
        assert rows[chart.name]["error"]["type"] == "ChartChangedError"
        assert re.search(
            rf"{chart.name}.*submitted: \w+, now: \w+.*submit it again", rows[chart.name]["error"]["message"]
        )
    assert rows[gone.name]["status"] == "failed"
    assert gone.name in rows[gone.name]["error"]["message"]
    assert {rows[chart.name]["attempts"] for chart in (changed, gone, one, other)} == {0}
    assert rows[moved.name]["status"] == rows[twin.name]["status"] == rows[kept.name]["status"] == "finished"
    assert len(server.record) == 2


def test_a_prompt_of_100_kb_is_asked_whole_and_a_longer_one_than_providers_take_is_refused(user: Producer) -> None:
    draw_charts(user.folder / "charts", 1)
    long, too_long = user.folder / "long.txt", user.folder / "too-long.txt"
    long.write_text("Up or down? " * 8_500)
    too_long.write_text("x" * (MAX_PROMPT_CHARS + 1))
    refused = user.run("submit", "charts", "--prompt-file", too_long, expect=None)
    assert refused.code != 0
    assert "more than 200,000 characters" in refused.stderr
    batch_id = user.run("submit", "charts", "--prompt-file", long, "-q").stdout.strip()
    work()
    [row] = user.results(batch_id)
    assert row["status"] == "finished"
    assert len(row["prompt"]) == len(long.read_text())


def test_a_chart_that_changed_before_a_dropped_call_went_out_once_more_fails_uncalled(tmp_path: Path) -> None:
    """A pooled connection breaks: the call goes out again, with what was submitted or not at all."""
    chart = next(draw_charts(tmp_path, 1).rglob("*.png"))
    submitted = chart.read_bytes()
    asked: list[bytes] = []

    def drop_the_second(connection: socket.socket, _number: int) -> None:
        while request := read_request(connection):
            asked.append(request)
            if len(asked) == 2:
                chart.write_bytes(submitted + b"x")
                return
            connection.sendall(ok(b'{"choices": [{"message": {"content": "up"}}]}'))

    with raw_server(drop_the_second) as url, HuggingFaceClient(HFConfig(api_key=None, base_url=url)) as client:
        task, job = task_of(client), job_about(chart)
        question = Question(prompt="up?", model="org/model", parameters={}, api="chat", task=None)
        first, second = task.perform(job, question), task.perform(job, question)
    assert first.answer is not None
    assert isinstance(second.error, ChartChangedError)
    assert isinstance(second.outcome, Refused)
    assert not second.called
    assert len(asked) == 2


@pytest.mark.parametrize("extra", [5, {"model": "x"}, {"stream": True}])
def test_a_request_that_cannot_be_sent_fails_uncalled(tmp_path: Path, extra: Any) -> None:
    chart = next(draw_charts(tmp_path, 1).rglob("*.png"))
    question = Question(prompt="up?", model="org/model", parameters={"extra_body": extra}, api="chat", task=None)
    with HuggingFaceClient(HFConfig(api_key=None, base_url="http://127.0.0.1:1")) as client:
        ended = task_of(client).perform(job_about(chart), question)
    assert isinstance(ended.error, HFRequestError)
    assert isinstance(ended.outcome, Refused)
    assert not ended.called
