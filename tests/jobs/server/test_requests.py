"""What every request meets: one shape of errors, bounds, ids, a line in the log."""

import dataclasses
import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis.exceptions import ConnectionError as RedisConnectionError
from support.http_api import client_of, error_of, png
from support.producer import Producer
from support.stack import Finished, finish, stack

from jobs.config.settings import Settings
from jobs.core.secret import Secret
from jobs.server import create_app
from jobs.server.guard import body_limit


def test_health_is_told_while_redis_and_the_store_answer(user: Producer, api: TestClient) -> None:
    assert api.get("/health").json() == {"status": "ok"}
    settings = dataclasses.replace(user.settings, redis_url=Secret("redis://127.0.0.1:1/0"))
    with client_of(settings) as broken:
        answer = broken.get("/health")
        assert answer.status_code == 503
        assert "127.0.0.1" not in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/batches/b000000-nobody", b"", {}, 404),
        ("GET", "/jobs/..%2f..%2fetc", b"", {}, 404),
        ("GET", "/nowhere", b"", {}, 404),
        ("DELETE", "/batches", b"", {}, 405),
        ("GET", "/batches?limit=0", b"", {}, 400),
        ("POST", "/batches", b"{", {"content-type": "application/json"}, 400),
        ("POST", "/batches", b"[" * 100_000, {"content-type": "application/json"}, 400),
        ("POST", "/batches", b"[]", {"content-type": "application/json"}, 400),
        ("POST", "/batches", b'{"paths": [], "prompt": "Up?"}', {"content-type": "application/json"}, 400),
        ("POST", "/batches", b'{"paths": ["a"], "odd": 1}', {"content-type": "application/json"}, 400),
        ("POST", "/batches", b"\xff", {"content-type": "application/json"}, 400),
        ("POST", "/batches", b"hello", {"content-type": "text/plain"}, 415),
        ("POST", "/batches", b"hello", {"content-type": "multipart/form-data"}, 415),
        ("POST", "/batches", b"hello", {"content-type": "multipart/form-data; boundary=x"}, 400),
        ("POST", "/batches", b"--x\r\n\r\nno name\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}, 400),
        (
            "POST",
            "/batches",
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\ncut off',
            {"content-type": "multipart/form-data; boundary=x"},
            400,
        ),
    ],
)
def test_whatever_is_wrong_the_answer_has_the_one_shape(
    api: TestClient, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = api.request(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    error_of(answer)


@pytest.mark.parametrize(
    "path", ["/analyze", "/batches", "/batches/plan", "/v1/files", "/v1/batches", "/v1/chat/completions"]
)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x-nonsense", "GZIP", "identity, gzip"])
def test_a_compressed_body_is_refused_with_words(api: TestClient, path: str, coding: str) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        headers = {"content-type": kind, "content-encoding": coding}
        answer = api.post(path, content=gzip.compress(b"{}"), headers=headers)
        assert answer.status_code == 415, answer.text
        error = error_of(answer)
        assert "uncompressed" in error["message"]
        assert error["param"] == "content-encoding"
        assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_a_body_that_says_it_is_not_compressed_is_read(api: TestClient, coding: str) -> None:
    files = {"files": ("a.png", png())}
    answer = api.post("/batches", data={"prompt": "Up?"}, files=files, headers={"content-encoding": coding})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/analyze", ["file", "prompt", "model", "max_side"]),
        ("/batches", ["prompt", "model", "name", "parameters", "schema", "priority", "max_side", "refresh"]),
        ("/v1/files", ["file", "purpose"]),
    ],
)
def test_of_what_is_one_a_form_may_not_have_two(user: Producer, api: TestClient, path: str, names: list[str]) -> None:
    several = path == "/batches"
    whole = [("files" if several else "file", ("a.png", png()))]
    data = {"purpose": "batch"} if path == "/v1/files" else {"prompt": "Up?"}
    for name in names:
        more: Any = [("file", ("b.png", png(1)))] if name == "file" else [(name, (None, b"1")), (name, (None, b"2"))]
        answer = api.post(path, data={} if name in data else data, files=[*whole, *more])
        assert answer.status_code == 400, (name, answer.text)
        error = error_of(answer)
        assert error["param"] == name
        assert f"'{name}' is there twice" in error["message"]
    if not several:
        answer = api.post(path, data=data, files=[*whole, ("image", ("b.png", png(1)))])
        assert (answer.status_code, error_of(answer)["param"]) == (400, "image")
    assert user.run("list", "--json").stdout == ""
    assert api.get("/v1/files").json()["data"] == []


def operations() -> list[tuple[str, str, list[str]]]:
    """Method, path and the words of the query of every request of ours that takes a query by the rule."""
    return [
        (method.upper(), path, [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"])
        for path, methods in create_app(Settings()).openapi()["paths"].items()
        for method, operation in methods.items()
        if not path.startswith(("/v1/", "/health"))
    ]


@pytest.mark.parametrize(("method", "path", "words"), operations())
def test_a_query_has_only_words_that_the_request_knows_each_once_and_filled(
    api: TestClient, method: str, path: str, words: list[str]
) -> None:
    place = path.format(batch_id="b000000-nobody", job_id="0" * 64)
    refused = [("nmae=x", "nmae"), ("nmae=", "nmae"), ("=x", ""), ("until=", "until")]
    refused += [(f"{word}=", word) for word in words] + [(f"{word}=1&{word}=1", word) for word in words]
    for query, param in refused:
        answer = api.request(method, f"{place}?{query}")
        assert answer.status_code == 400, (query, answer.text)
        error = error_of(answer)
        assert error["param"] == param
        assert f"{param!r} is" in error["message"]
        if param == "nmae":
            assert all(word in error["message"] for word in words)


def test_a_misspelt_filter_acts_on_nothing(api: TestClient) -> None:
    files = [("files", ("a.png", png(), "image/png"))]
    batch_id = api.post("/batches", data={"prompt": "Up?"}, files=files).json()["batch_id"]
    for action in (
        "cancel?eror=ImageError",
        "cancel?error=",
        "cancel?q=b&q=a",
        "cancel?q=%00",
        "pause?untill=18:00",
        "pause?until=",
    ):
        assert api.post(f"/batches/{batch_id}/{action}").status_code == 400, action
    assert api.post("/batches?nmae=x", data={"prompt": "Up?"}, files=files).status_code == 400
    [batch] = api.get("/batches").json()["data"]
    assert (batch["status"], batch["request_counts"]["queued"]) == ("in_progress", 1)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/v1/batches?limit=5", "/health"])
def test_openais_clients_and_monitors_may_add_words_to_a_query(api: TestClient, path: str) -> None:
    joined = "&" if "?" in path else "?"
    assert api.get(f"{path}{joined}extra=1&extra=2&empty=").status_code == 200


@pytest.mark.parametrize(
    ("path", "sent", "known"),
    [
        ("/batches", {"json": {"path": ["a.png"], "prompt": "Up?"}}, "paths"),
        ("/batches", {"json": {"paths": ["a.png"], "prompt": "Up?", "json_schema": "chart"}}, "schema"),
        ("/batches/plan", {"json": {"sha": ["x"], "prompt": "Up?"}}, "sha256"),
        ("/batches", {"data": {"promt": "Up?"}, "files": {"files": ("a.png", png())}}, "prompt"),
        ("/batches", {"data": {"promt": "", "prompt": "Up?"}, "files": {"files": ("a.png", png())}}, "prompt"),
        ("/analyze", {"data": {"promt": "Up?"}, "files": {"file": ("a.png", png())}}, "prompt"),
        ("/analyze", {"data": {"promt": ""}, "files": {"file": ("a.png", png())}}, "prompt"),
    ],
)
def test_a_field_that_is_not_known_is_named_beside_those_that_are(
    user: Producer, api: TestClient, path: str, sent: dict[str, Any], known: str
) -> None:
    answer = api.post(path, **sent)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["param"] in ("path", "json_schema", "sha", "promt")
    assert f"{error['param']!r} is not known here" in error["message"]
    assert known in error["message"].partition("known are")[2].replace(",", "").split()
    assert user.run("list", "--json").stdout == ""


def test_the_head_of_what_can_be_got_is_told_without_its_body(api: TestClient) -> None:
    batch = api.post("/batches", data={"prompt": "Up?"}, files=[("files", ("a.png", png(), "image/png"))]).json()
    paths = (
        ("/health", 200),
        ("/", 200),
        ("/batches", 200),
        (f"/batches/{batch['batch_id']}/results", 200),
        (f"/batches/{batch['batch_id']}/events", 200),  # it has no end
        ("/nowhere", 404),
        ("/analyze", 405),
    )
    for path, status in paths:
        head = api.head(path)
        assert (head.status_code, head.content) == (status, b""), path
        assert head.headers["x-request-id"]
    assert api.head("/health").headers["content-length"] == api.get("/health").headers["content-length"]


def test_a_form_has_a_bounded_number_of_parts(api: TestClient) -> None:
    fields = {f"field-{number}": "x" for number in range(60)}
    files = [("files", ("a.png", png(), "image/png"))]
    assert api.post("/batches", data=fields, files=files).status_code == 413


def test_a_body_is_refused_by_its_length_and_by_what_comes(api: TestClient) -> None:
    announced = api.post("/lanes", content=b"", headers={"content-length": str(body_limit("/lanes") + 1)})
    assert announced.status_code == 413
    error_of(announced)

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    answer = api.post("/batches/x/cancel", content=endless())
    assert answer.status_code in (404, 413)  # nobody reads it: then it is not refused either


def test_an_id_is_given_or_kept_and_stands_in_the_log(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="chartq.access"):
        given = api.get("/health", headers={"x-request-id": "mine-1"})
        made = api.get("/health", headers={"x-request-id": "not\tmine", "user-agent": "x\x1b[31m"})
    assert given.headers["x-request-id"] == "mine-1"
    assert made.headers["x-request-id"].startswith("req_")
    first = caplog.records[0]
    assert (first.__dict__["request_id"], first.__dict__["status"], first.__dict__["path"]) == (
        "mine-1",
        200,
        "/health",
    )
    assert given.headers["x-content-type-options"] == "nosniff"


def test_what_is_in_a_path_does_not_get_into_the_log_raw(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="chartq.access"):
        api.get("/batches/%0aFAKE%1b[31m")
    assert all(ord(char) >= 32 for record in caplog.records for char in record.getMessage())


def test_a_fault_of_ours_is_told_without_its_words(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("hf_secret")

    monkeypatch.setattr("jobs.batches.session.Session.statuses", broken)
    answer = api.get("/batches")
    assert answer.status_code == 500
    assert "hf_secret" not in answer.text
    error_of(answer)


def test_it_can_be_mounted_in_an_app_of_ones_own(user: Producer) -> None:
    app = FastAPI()
    mounted = create_app(user.settings)
    app.mount("/charts", mounted)
    try:
        with TestClient(app) as client:
            assert client.get("/charts/health").json() == {"status": "ok"}
            files = [("files", ("a.png", png(), "image/png"))]
            made = client.post("/charts/batches", files=files, data={"prompt": "Up?"})
            assert made.headers["location"].startswith("/charts/batches/b")
            assert client.get(made.headers["location"]).status_code == 200
    finally:
        mounted.state.backend.close()


MOUNTED = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jobs.server import create_app
app = FastAPI()
app.mount("/charts", create_app())
with TestClient(app, base_url="http://127.0.0.1") as client:
    print(client.get("/charts/health").status_code)
"""


def test_the_app_that_it_is_mounted_in_leaves_nothing_behind(tmp_path: Path) -> None:
    """It isn't told that the app ends: Starlette tells the outermost one alone."""
    with stack(tmp_path) as user:
        assert finish(user.launch("-c", MOUNTED)) == Finished(code=0, stdout="200\n", stderr="")
        with pytest.raises((RedisConnectionError, FileNotFoundError)), user.redis() as redis:
            redis.ping()
