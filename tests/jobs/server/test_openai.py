"""OpenAI's files, batches and models, through the openai package as it is."""

import base64
import io
import json
import time
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from support.http_api import client_of, error_of, png
from support.producer import Producer
from support.stack import eventually

from jobs.core.errors import ChartqError
from jobs.server.app import create_app
from jobs.server.backend import Services

pytestmark = pytest.mark.usefixtures("each_store")

ENVIRONMENT = {"VISION_MODEL": "org/model"}
SERVICES = Services(list_models=lambda: ["org/served"])


@pytest.fixture
def client(api: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=api, max_retries=0)


def uri(shade: int = 0) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(shade)).decode()}"


def line(custom_id: str, url: str | None = None, *, model: str = "org/model", **changes: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": "Up?"}]
    content.append({"type": "image_url", "image_url": {"url": url or uri(hash(custom_id) % 1000)}})
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


def upload(client: openai.OpenAI, *lines: Any, name: str = "requests.jsonl") -> str:
    written = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    return client.files.create(file=(name, b"\n".join(written) + b"\n"), purpose="batch").id


def create(client: openai.OpenAI, file_id: str, **metadata: str) -> Any:
    return client.batches.create(
        input_file_id=file_id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata=metadata or None,
    )


def validated(client: openai.OpenAI, batch_id: str) -> Any:
    eventually(lambda: client.batches.retrieve(batch_id).status != "validating")
    return client.batches.retrieve(batch_id)


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()] if file_id else []


def test_a_file_goes_in_and_answers_come_out(user: Producer, client: openai.OpenAI) -> None:
    file_id = upload(client, *(line(f"c-{number}", uri(number)) for number in range(5)), name="mine.jsonl")
    made = create(client, file_id, who="ann")
    assert (made.status, made.input_file_id, made.metadata) == ("validating", file_id, {"who": "ann"})
    assert made.expires_at - made.created_at == 86_400
    began = validated(client, made.id)
    assert (began.status, began.request_counts.total, began.output_file_id) == ("in_progress", 5, None)
    assert began.in_progress_at is not None

    failing = user.results(made.id)[1]["job_id"]
    user.fail(failing)
    user.answer(made.id)
    eventually(lambda: client.batches.retrieve(made.id).status == "completed")
    batch: Any = client.batches.retrieve(made.id)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 1)
    assert batch.completed_at >= batch.created_at
    output, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert sorted(one["custom_id"] for one in output + errors) == [f"c-{number}" for number in range(5)]
    assert output[0]["response"]["body"]["choices"][0]["message"]["content"] == "up"
    told = client.files.retrieve(batch.output_file_id)
    assert (told.purpose, told.bytes) == ("batch_output", len(client.files.content(batch.output_file_id).content))
    assert user.status(made.id)["status"] == "completed_with_errors"

    listed = {file.id: file for file in client.files.list()}
    assert set(listed) == {file_id, batch.output_file_id, batch.error_file_id}
    assert listed[batch.output_file_id] == told
    assert [file.id for file in client.files.list(purpose="batch")] == [file_id]
    assert client.files.delete(batch.output_file_id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(batch.output_file_id)
    user.run("retry", made.id)
    user.answer(made.id)
    assert {file.id for file in client.files.list()} == {file_id, batch.error_file_id}, "what was deleted stays away"
    assert len(user.results(made.id)) == 5
    user.run("delete", made.id)
    assert [file.id for file in client.files.list()] == [file_id]


def test_what_came_out_is_told_to_who_asked_and_to_no_other_key(user: Producer, client: openai.OpenAI) -> None:
    made = create(client, upload(client, line("c", uri(1))))
    validated(client, made.id)
    user.answer(made.id)
    bob = client.with_options(api_key=user.run("keys", "create", "bob").stdout.strip())
    assert list(bob.files.list()) == []
    with pytest.raises(openai.NotFoundError):
        bob.files.content(f"file-{made.id}-output")


@pytest.mark.parametrize(
    ("bad", "code", "at"),
    [
        ([line("a"), line("b"), line("a")], "duplicate_custom_id", 3),
        ([line("a"), b"{"], "invalid_json_line", 2),
        ([b"[]"], "invalid_request", 1),
        ([line("a"), line("b", url="/v1/embeddings") | {"url": "/v1/embeddings"}], "invalid_url", 2),
        ([line("a"), line("b") | {"method": "GET"}], "invalid_request", 2),
        ([line("a"), line("b", model="org/other")], "mismatched_model", 2),
        ([line("a") | {"custom_id": ""}], "invalid_request", 1),
        ([line("a", "/etc/passwd")], "invalid_image_url", 1),
        ([line("a", "file:///etc/passwd")], "invalid_image_url", 1),
        ([line("a", "../up.png")], "invalid_image_url", 1),
        ([line("a", "http://127.0.0.1/x")], "invalid_image_url", 1),
        ([line("a"), line("b", "https://[::1")], "invalid_image_url", 2),
        ([b" "], "empty_file", None),
    ],
)
def test_a_file_with_a_bad_line_ends_as_failed_with_that_line(
    user: Producer, client: openai.OpenAI, bad: list[Any], code: str, at: int | None
) -> None:
    batch = validated(client, create(client, upload(client, *bad)).id)
    assert batch.status == "failed"
    assert [(one.code, one.line) for one in batch.errors.data] == [(code, at)]
    assert batch.errors.data[0].message
    assert batch.failed_at is not None
    assert user.results(batch.id) == []
    assert user.status(batch.id)["status"] == "canceled"


def test_what_is_no_picture_fails_its_own_request_alone(user: Producer, client: openai.OpenAI) -> None:
    (user.folder / "text.png").write_bytes(b"no picture")
    urls = ["data:image/png;base64,AAAA", "data:image/png,plain", "missing.png", "text.png", uri()]
    batch = validated(client, create(client, upload(client, *(line(url, url) for url in urls[:4]), line("good"))).id)
    assert (batch.status, batch.request_counts.total) == ("in_progress", 5)
    assert len({row["job_id"] for row in user.results(batch.id)}) == 5


def test_canceled_each_request_has_its_line(user: Producer, client: openai.OpenAI) -> None:
    batch = validated(client, create(client, upload(client, *(line(f"c-{n}", uri(n)) for n in range(4)))).id)
    rows = user.results(batch.id)
    user.start([rows[0]["job_id"]])
    canceled = client.batches.cancel(batch.id)
    assert canceled.status == "cancelling"
    assert canceled.cancelling_at is not None
    user.fail(rows[0]["job_id"])
    done = client.batches.retrieve(batch.id)
    assert done.status == "cancelled"
    lines = lines_of(client, done.output_file_id) + lines_of(client, done.error_file_id)
    assert sorted(one["custom_id"] for one in lines) == [f"c-{n}" for n in range(4)]
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("b000000-nobody")


def test_canceled_while_it_is_validated_it_is_canceled_whole(user: Producer, client: openai.OpenAI) -> None:
    batch = create(client, upload(client, *(line(f"c-{n}", uri(n)) for n in range(300))))
    client.batches.cancel(batch.id)
    eventually(lambda: client.batches.retrieve(batch.id).status == "cancelled")
    done: Any = client.batches.retrieve(batch.id)
    assert done.request_counts.total == 300
    assert len(lines_of(client, done.error_file_id)) == 300
    with user.session() as session:
        assert session.queues.depths([f"chat:{'org/model'}"])[0].queued == 0


def test_what_has_ended_cannot_be_canceled(client: openai.OpenAI) -> None:
    batch = validated(client, create(client, upload(client, b"{")).id)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize("mounted", [False, True])
def test_batches_survive_the_server(user: Producer, mounted: bool) -> None:
    with client_of(user.settings) as first:
        client = openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=first)
        first.app.state.backend.intake.stop()  # type: ignore[attr-defined]  # as if it had been killed just then
        batch_id = create(client, upload(client, line("a"))).id
        assert client.batches.retrieve(batch_id).status == "validating"
    app = create_app(user.settings)
    outer = FastAPI()
    outer.mount("/charts", app)
    with TestClient(outer if mounted else app) as second:
        base_url = f"http://testserver{'/charts' if mounted else ''}/v1"
        client = openai.OpenAI(base_url=base_url, api_key="none", http_client=second)
        assert validated(client, batch_id).status == "in_progress"
    if mounted:
        app.state.backend.close()


def test_lists_have_pages(client: openai.OpenAI) -> None:
    files = [upload(client, line(str(number))) for number in range(5)]
    assert [one.id for one in client.files.list(limit=2)] == files[::-1]
    assert [one.id for one in client.files.list(order="asc", purpose="batch")] == files
    assert client.files.list(purpose="assistants").data == []
    batches = [create(client, file).id for file in files]
    first = client.batches.list(limit=2)
    assert [one.id for one in first.data] == batches[:-3:-1]
    assert first.has_more
    assert [one.id for one in first] == batches[::-1]
    assert [one.id for one in client.batches.list(after=batches[1]).data] == [batches[0]]
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="b000000-nobody")


def test_files_come_back_as_they_were_and_can_go(user: Producer, client: openai.OpenAI) -> None:
    content = b"\n".join(json.dumps(line(f"c-{n}", uri(n))).encode() for n in range(5000))
    assert len(content) > 2_000_000
    file = client.files.create(file=("a.jsonl", io.BytesIO(content)), purpose="batch")
    assert (file.bytes, file.filename, file.purpose) == (len(content), "a.jsonl", "batch")
    assert client.files.content(file.id).content == content
    assert client.files.retrieve(file.id) == file
    assert client.files.delete(file.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)
    with user.session() as session:
        assert session.ledger.store.read(lambda tx: tx.execute("SELECT COUNT(*) FROM file_parts").fetchone()[0]) == 0


def test_uploads_are_refused_with_words(api: TestClient, client: openai.OpenAI, user: Producer) -> None:
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("a", b"x"), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.files.create(file=("a", b""), purpose="batch")
    assert api.post("/v1/files", data={"purpose": "batch"}, files={"x": ("a", b"x")}).status_code == 400
    assert api.post("/v1/files", json={}).status_code == 415
    with pytest.raises(openai.BadRequestError):
        client.batches.create(input_file_id="x", endpoint="/v1/embeddings", completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        create(client, "file-nobody")
    with user.session() as session:  # nothing of what was refused is left
        assert session.ledger.store.read(lambda tx: tx.execute("SELECT COUNT(*) FROM files").fetchone()[0]) == 0


def test_models_are_those_that_are_served_asked_by_default_or_were_asked(
    client: openai.OpenAI, api: TestClient
) -> None:
    validated(client, create(client, upload(client, line("a", model="org/asked"))).id)
    ids = [model.id for model in client.models.list()]
    assert {"org/served", "org/model", "org/asked"} <= set(ids)
    assert client.models.retrieve("org/served").id == "org/served"
    assert error_of(api.get("/v1/models/org/none"))["code"] == "not_found"


def test_an_upload_that_died_is_removed_by_the_next(user: Producer) -> None:
    with user.session() as session:
        ledger = session.ledger
        dead = ledger.begin_file(owner="", filename="a", now=time.time() - 90_000)
        ledger.add_file_part(dead, 0, b"x")
        ledger.begin_file(owner="", filename="b", now=time.time())
        assert ledger.file_part(dead, 0) == b""
        with pytest.raises(ChartqError):
            ledger.file("file-x")
