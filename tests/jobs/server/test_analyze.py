"""`/analyze` and chat completions: one call for the same question, and words where there is no answer."""

import base64
import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from rq.suspension import suspend
from support.http_api import client_of, error_of, png
from support.producer import Producer
from support.stack import PATIENCE_S

from jobs.lanes.gates import account_of
from jobs.ledger import AnswerRow, Failed, Finished
from jobs.server import waiting

LANE = "chat:org/model"


ENVIRONMENT = {"VISION_MODEL": "org/model", "MAX_RETRIES": "0"}


@contextmanager
def answering(user: Producer, *, fail: str | None = None) -> Iterator[list[str]]:
    """Somebody who answers whatever is queued, as a worker would; gives the ids that it was asked."""
    asked: list[str] = []
    over = threading.Event()

    def work() -> None:
        with user.session() as session:
            while not over.is_set():
                rows = [row for row in session.ledger.open_jobs(0, 100) if row.status == "queued"]
                for row in rows:
                    asked.append(row.job_id)
                    session.ledger.start([(row.job_id, "e")], time.time())
                    raw = {"choices": [{"index": 0, "message": {"content": "up"}, "finish_reason": "stop"}]}
                    answer = AnswerRow(text="up", raw=raw, prompt_tokens=7, completion_tokens=3)
                    done = Finished(job_id=row.job_id, execution_id="e", answer=answer)
                    failed = Failed(
                        job_id=row.job_id,
                        execution_id="e",
                        error_type=fail or "",
                        message="it is damaged",
                        status_code=422,
                    )
                    session.ledger.record([failed if fail else done], time.time())
                over.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        thread.join()


def analyze(api: TestClient, *, headers: dict[str, str] | None = None, **fields: str) -> Any:
    files = {"file": ("chart.png", png(), "image/png")}
    return api.post("/analyze", files=files, data=fields, headers=headers)


def test_one_picture_one_question_one_answer(user: Producer, api: TestClient) -> None:
    with answering(user) as asked:
        answer = analyze(api, prompt="Up?")
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "analysis": "up",
            "job_id": asked[0],
            "model": "org/model",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        assert analyze(api, prompt="Up?").json() == answer.json()
        assert analyze(api).json()["job_id"] != answer.json()["job_id"]
        assert analyze(api, prompt="Up?", max_side="32").json()["job_id"] != answer.json()["job_id"]
    assert len(asked) == 3
    listed = api.get("/batches").json()["data"]
    assert len(listed) == 1
    assert listed[0]["request_counts"]["finished"] == 3


def test_fifty_who_ask_alike_at_once_are_one_call(user: Producer, api: TestClient) -> None:
    with answering(user) as asked, ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: analyze(api, prompt="Up?").json(), range(50)))
    assert {answer["analysis"] for answer in answers} == {"up"}
    assert len(asked) == 1


def test_who_does_not_want_to_wait_is_told_where_to_look(user: Producer, api: TestClient) -> None:
    answer = analyze(api, prompt="Up?", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    assert api.get(answer.headers["location"]).json()["status"] == "queued"
    with user.session() as session:
        assert session.queues.unknown([job_id]) == []
    with answering(user):
        assert analyze(api, prompt="Up?").json()["job_id"] == job_id


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        (["Respond-Async"], False),
        (["return=minimal, respond-async; wait=10"], False),
        (["return=minimal", "respond-async"], False),
        (['respond-async=""'], False),
        (["no-respond-async"], True),
        (['x="respond-async"'], True),
        ([""], True),
    ],
)
def test_a_preference_is_read_as_http_spells_it(
    user: Producer, api: TestClient, headers: list[str], waits: bool
) -> None:
    preferences = [("prefer", value) for value in headers]
    if waits:
        with answering(user):
            answer = api.post("/analyze", files={"file": ("a.png", png())}, headers=preferences)
    else:
        answer = api.post("/analyze", files={"file": ("a.png", png())}, headers=preferences)
    assert answer.status_code == (200 if waits else 202)


def test_nobody_waits_for_ever(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_QUEUE_S", 0.1)
    with client_of(dataclasses.replace(user.settings, vision_timeout_s=0.1)) as api:
        assert analyze(api, prompt="Up?").status_code == 202


def gate(user: Producer, **fields: str) -> None:
    """The lane's gate, as workers of one account have left it."""
    account = account_of(base_url="http://x", token=None, bill_to=None)
    with user.session() as session:
        session.redis.sadd("chartq:gates", f"{account}:{LANE}")
        for name, value in fields.items():
            session.redis.hset(f"chartq:gate:{account}:{LANE}", name, value)


def test_nobody_waits_for_what_is_paused_or_suspended_before_the_first_worker(user: Producer, api: TestClient) -> None:
    user.run("pause")
    assert error_of(analyze(api))["code"] == "paused"
    user.run("resume")
    with user.session() as session:
        suspend(session.redis)
        assert error_of(analyze(api))["code"] == "suspended"


def test_a_lane_on_hold_is_told_with_its_reason_and_nothing_is_queued(user: Producer, api: TestClient) -> None:
    gate(user, hold_reason="credits", hold_message="no credits are left", hold_since=str(int(time.time() * 1000)))
    answer = analyze(api, prompt="Up?")
    assert answer.status_code == 503, answer.text
    error = error_of(answer)
    assert (error["code"], "no credits are left" in error["message"]) == ("credits", True)
    assert api.get("/batches").json()["data"] == []
    client = openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=api, max_retries=5)
    with pytest.raises(openai.InternalServerError, match="no credits"):
        client.chat.completions.create(model="org/model", messages=[{"role": "user", "content": "Up?"}])


def test_a_lane_that_is_closed_for_long_is_not_waited_for(user: Producer, api: TestClient) -> None:
    gate(user, until_ms=str(int(time.time() * 1000) + 3_600_000), why="throttled")
    answer = analyze(api, prompt="Up?")
    assert answer.status_code == 202, answer.text
    assert answer.json()["resume_at"] is not None
    assert int(answer.headers["retry-after"]) > 3000
    asked = {"model": "org/model", "messages": [{"role": "user", "content": "Up?"}]}
    closed = api.post("/v1/chat/completions", json=asked)
    assert (closed.status_code, error_of(closed)["code"]) == (503, "lane_closed")


def test_a_hold_that_comes_while_one_waits_is_told(user: Producer, api: TestClient) -> None:
    with ThreadPoolExecutor(1) as one:
        waiting_one = one.submit(analyze, api, prompt="Up?")
        while not api.get("/batches").json()["data"]:
            time.sleep(0.02)
        gate(user, hold_reason="token", hold_message="the token is wrong", hold_since=str(int(time.time() * 1000)))
        assert waiting_one.result(PATIENCE_S).status_code == 503


@pytest.mark.parametrize(
    ("error_type", "status"), [("ImageError", 400), ("HFBadRequestError", 502), ("HFModelNotFoundError", 502)]
)
def test_no_answer_is_an_error_and_is_asked_again_next_time(
    user: Producer, api: TestClient, error_type: str, status: int
) -> None:
    with answering(user, fail=error_type) as asked:
        answer = analyze(api, prompt="Up?")
        assert answer.status_code == status, answer.text
        assert "damaged" in error_of(answer)["message"]
    with answering(user):
        assert analyze(api, prompt="Up?").json()["job_id"] == asked[0]


def test_what_is_no_picture_or_too_much_is_refused_before_anything_is_asked(api: TestClient) -> None:
    def post(data: bytes, name: str = "file", **fields: str) -> Any:
        return api.post("/analyze", files={name: ("a.png", data, "image/png")}, data=fields)

    assert post(b"<html>").status_code == 400
    assert post(b"").status_code == 400
    assert post(png()[:40]).status_code == 400
    assert post(png(), name="picture").status_code == 400
    assert post(png(), odd="1").status_code == 400
    assert post(png(), max_side="15").status_code == 400
    assert post(png(), max_side="big").status_code == 400
    assert post(png(), model="no model").status_code == 400
    assert api.post("/analyze", data={"prompt": "Up?"}, files={"x": ("", b"")}).status_code == 400
    assert post(b"\x89PNG" + bytes(50_000_001)).status_code == 413
    assert api.post("/analyze", json={}).status_code == 415
    assert api.get("/batches").json()["data"] == []


def test_bodies_of_all_requests_together_are_bounded(api: TestClient) -> None:
    backend: Any = api.app.state.backend  # type: ignore[attr-defined]
    backend.hold_in_memory(255_999_990)
    assert analyze(api, prompt="Up?").status_code == 503
    backend.release_memory(255_999_990)
    assert backend._in_memory == 0
    assert analyze(api, prompt="Up?", headers={"Prefer": "respond-async"}).status_code == 202
    assert backend._in_memory == 0


def chart_message(url: str) -> list[dict[str, Any]]:
    content = [{"type": "text", "text": "Up?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


def test_the_openai_package_gets_its_completion(user: Producer, api: TestClient) -> None:
    client = openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=api)
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    with answering(user) as asked:
        messages: Any = chart_message(url)
        made = client.chat.completions.create(model="org/model", messages=messages)
        assert made.choices[0].message.content == "up"
        assert made.usage is None or made.usage.prompt_tokens == 7
        assert analyze(api, prompt="Up?").json()["job_id"] == asked[0]
        text = client.chat.completions.create(model="org/text", messages=[{"role": "user", "content": "What?"}])
        assert text.choices[0].finish_reason == "stop"
    assert len(asked) == 2
    with pytest.raises(openai.BadRequestError, match="stream"):
        client.chat.completions.create(model="org/model", messages=messages, stream=True)


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"messages": []},
        {"messages": "hello"},
        {"messages": chart_message("file:///etc/passwd")},
        {"messages": chart_message("/etc/passwd")},
        {"messages": chart_message("../../etc/passwd")},
        {"messages": chart_message("http://169.254.169.254/latest/meta-data")},
        {"messages": chart_message("data:image/png;base64,AAAA")},
        {"messages": chart_message("ftp://x/y.png")},
        {"stream": True},
        {"n": 2},
    ],
)
def test_what_cant_be_asked_is_refused(api: TestClient, change: dict[str, Any]) -> None:
    body = {"model": "org/model", "messages": [{"role": "user", "content": "Up?"}], **change}
    answer = api.post("/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    error_of(answer)
    assert api.get("/batches").json()["data"] == []
