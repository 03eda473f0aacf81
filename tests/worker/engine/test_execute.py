"""A task: it asks what its question says, and not at all where it can't read its chart or finds another one."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.executions import job_about, started_job, task_of
from support.hf_server import Scripted, ScriptedServer, chat_reply
from support.pictures import encoded

from jobs.core.job import Api, Question, Task
from jobs.core.places import picture_name
from jobs.ledger import StartedJob
from worker.engine.execute import ChartChangedError
from worker.engine.policy import MAX_FAULTS, Refused, Transient
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig

QUESTION = Question(prompt="Up?", model="org/model", parameters={})
JOB = started_job(picture_name("ab"), question_id=QUESTION.id, image_sha256="ab")


def png(colour: str) -> bytes:
    return encoded(Image.new("RGB", (40, 30), colour))


def test_what_this_machine_fails_is_counted_for_each_job_until_it_goes_well() -> None:
    pictures: dict[str, bytes] = {}

    def picture(sha256: str) -> bytes | None:
        if sha256 not in pictures:
            raise MemoryError
        return pictures[sha256]

    client = HuggingFaceClient(HFConfig(api_key="hf_x", base_url="http://127.0.0.1:9/v1"))
    task = task_of(client, pictures=picture)

    def outcomes(job: StartedJob, times: int) -> list[Transient]:
        ended = [task.perform(job, QUESTION) for _ in range(times)]
        assert not any(one.called for one in ended)
        return [one.outcome for one in ended if isinstance(one.outcome, Transient)]

    assert [one.last for one in outcomes(JOB, MAX_FAULTS - 1)] == [False] * (MAX_FAULTS - 1)
    assert [one.last for one in outcomes(replace(JOB, job_id="another"), 1)] == [False]
    assert [one.last for one in outcomes(JOB, 1)] == [True]
    pictures["ab"] = b"no picture, but here"
    assert isinstance(task.perform(JOB, QUESTION).outcome, Refused)
    del pictures["ab"]
    assert [one.last for one in outcomes(JOB, 1)] == [False]


def test_it_says_when_its_pictures_are_ready_before_the_call_leaves(tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(png("red"))
    job = job_about(chart)
    calls_then: list[int] = []
    with ScriptedServer(Scripted(chat_reply())) as server:
        with HuggingFaceClient(HFConfig(api_key=None, base_url=server.url)) as client:
            task = task_of(client)
            task.perform(job, QUESTION, ready=lambda: calls_then.append(len(server.seen)))
            chart.unlink()
            task.perform(job, QUESTION, ready=lambda: calls_then.append(len(server.seen)))
        assert (calls_then, len(server.seen)) == ([0], 1)


def test_a_chart_that_changed_in_all_its_places_fails_uncalled(tmp_path: Path) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    here.write_bytes(png("red"))
    job = job_about(here)
    here.write_bytes(png("blue"))
    there.write_bytes(png("green"))
    with ScriptedServer(Scripted(chat_reply())) as server:
        client = HuggingFaceClient(HFConfig(api_key=None, base_url=server.url))
        task = task_of(client, other_images=lambda _job_id: [str(here), str(there)])
        ended = task.perform(job, QUESTION)
        assert isinstance(ended.error, ChartChangedError)
        assert "here.png" in str(ended.error)
        assert not ended.called
        there.write_bytes(png("red"))
        assert task.perform(job, QUESTION).answer is not None
        client.close()
    assert len(server.seen) == 1


@pytest.mark.parametrize("api", ["chat", "task"])
@pytest.mark.parametrize("task", ["visual-question-answering", "image-to-text"])
def test_what_goes_out_is_the_questions_whatever_its_worker_is_set_to(tmp_path: Path, api: Api, task: Task) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(png("red"))
    asked: dict[str, Any] = {"prompt": "Up?", "model": "org/m", "parameters": {"max_tokens": 7}}
    replies = [chat_reply("up"), [{"answer": "up"}], [{"generated_text": "up"}]]
    with ScriptedServer(*map(Scripted, replies)) as server:
        config = HFConfig(api_key=None, base_url=server.url, api=api, task=task, model_id="org/other")
        with HuggingFaceClient(config) as client:
            for question in (
                Question(**asked, api="chat"),
                Question(**asked, api="task", task="visual-question-answering"),
                Question(**asked, api="task", task="image-to-text"),
            ):
                answer = task_of(client).perform(job_about(chart), question).answer
                assert answer is not None
                assert answer.text == "up"
    image = base64.b64encode(png("red")).decode()
    chat, vqa, captioned = server.seen
    assert [seen.path for seen in server.seen] == ["/v1/chat/completions", "/v1/models/org/m", "/v1/models/org/m"]
    assert (chat.json["model"], chat.json["max_tokens"]) == ("org/m", 7)
    assert chat.json["messages"][0]["content"][0]["text"] == "Up?"
    assert vqa.json == {"inputs": {"question": "Up?", "image": image}, "parameters": {"max_tokens": 7}}
    assert captioned.json == {"inputs": image, "parameters": {"max_tokens": 7}}
