"""A worker is what its settings say."""

import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.executions import job_about, started_job
from support.hf_server import raw_server, read_request
from support.pictures import encoded
from support.producer import producer_in

from jobs.core.job import Question
from worker.engine.factory import build_worker
from worker.hf.errors import HFTimeoutError


def test_a_question_without_a_picture_may_be_thought_about_for_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(encoded(Image.new("RGB", (40, 30), "red")))

    def stare(connection: socket.socket, _number: int) -> None:
        while read_request(connection):
            pass

    with raw_server(stare) as url, producer_in(tmp_path, monkeypatch) as user:
        for name, value in {"HF_TOKEN": "hf_x", "HF_BASE_URL": url, "VISION_TIMEOUT": "0.3"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("REASONING_TIMEOUT", "0.4")
        with user.session() as session:
            task = build_worker(session, concurrency=1, grace_s=1)._task
            question = Question(prompt="Up?", model="org/model", parameters={})
            ended: list[Any] = [task.perform(job, question).error for job in (job_about(chart), started_job(""))]
    assert [type(error) for error in ended] == [HFTimeoutError] * 2
    assert [str(error).partition(" within ")[2] for error in ended] == ["0.3 s", "0.4 s"]
