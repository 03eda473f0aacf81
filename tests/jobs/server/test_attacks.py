"""What somebody ill-disposed would try: files of elsewhere, bodies that never end, forms of nonsense, others' ids."""

import asyncio
import dataclasses
import json
import logging
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from support.http_api import client_of, error_of, png, served
from support.producer import Producer
from support.stack import PATIENCE_S

from jobs.server import guard, listening
from jobs.server.guard import Pace
from jobs.server.listening import BoundedProtocol


@pytest.fixture
def root(user: Producer) -> Path:
    """CHART_ROOT, a secret beside it, and ways that seem to lead there."""
    root = user.folder / "charts"
    root.mkdir()
    (user.folder / "secret.png").write_bytes(png(7))
    (root / "good.png").write_bytes(png(1))
    (root / "broken.png").write_bytes(b"no picture")
    (root / "link.png").symlink_to(user.folder / "secret.png")
    (root / "up").symlink_to(user.folder)
    return root


@pytest.fixture
def api(user: Producer, root: Path) -> Iterator[TestClient]:
    with client_of(dataclasses.replace(user.settings, chart_root=root)) as client:
        yield client


OUTSIDE = (
    "../secret.png",
    "..",
    "a/../../secret.png",
    "{folder}/secret.png",
    "file://{folder}/secret.png",
    "file:///etc/passwd",
    "file://localhost{folder}/charts/%2e%2e/secret.png",
    "file://elsewhere/x.png",
    "link.png",
    "up/secret.png",
    "up",
    "/proc/self/environ",
    "\0",
    "~/x.png",
    "http://127.0.0.1:6379/",
    "ftp://127.0.0.1/x.png",
)


@pytest.mark.parametrize("place", OUTSIDE)
def test_no_path_leads_outside_the_root(user: Producer, api: TestClient, place: str) -> None:
    path = place.format(folder=user.folder)
    answer = api.post("/batches", json={"paths": [path], "prompt": "Up?"})
    assert answer.status_code == 400
    assert_places_are_not_told(user, error_of(answer)["message"].replace(path, ""))
    content = [{"type": "text", "text": "Up?"}, {"type": "image_url", "image_url": {"url": path}}]
    body = {"model": "org/model", "messages": [{"role": "user", "content": content}]}
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert_places_are_not_told(user, error_of(answer)["message"].replace(path, ""))
    assert api.get("/batches").json()["data"] == []


@pytest.mark.parametrize("paths", [["missing.png"], ["missing"], ["broken.png"], ["good.png", "broken.png"]])
def test_where_the_root_lies_is_not_told(user: Producer, api: TestClient, paths: list[str]) -> None:
    answer = api.post("/batches", json={"paths": paths, "prompt": "Up?"})
    assert_places_are_not_told(user, answer.text)
    if len(paths) == 2:
        [refused] = answer.json()["rejected"]
        assert refused["path"] == "broken.png"
        batch_id = answer.json()["batch_id"]
        job_id = api.get(f"/batches/{batch_id}/rows").json()["data"][0]["job_id"]
        (user.folder / "charts" / "good.png").unlink()
        for path in (f"/batches/{batch_id}", f"/jobs/{job_id}", f"/jobs/{job_id}/picture", f"/batches/{batch_id}/rows"):
            assert_places_are_not_told(user, api.get(path).text)
    content = [{"type": "image_url", "image_url": {"url": paths[-1]}}, {"type": "text", "text": "Up?"}]
    body = {"model": "org/model", "messages": [{"role": "user", "content": content}]}
    assert_places_are_not_told(user, api.post("/v1/chat/completions", json=body).text)


def assert_places_are_not_told(user: Producer, text: str) -> None:
    assert str(user.folder) not in text


def test_a_body_may_be_slow_and_not_slower() -> None:
    honest = Pace()
    for _ in range(1000):  # 2 kB/s, as long as it likes
        honest.took(20.0, 40_000)
        assert honest.left_s == 30.0
    trickling = Pace()
    for _ in range(29):
        trickling.took(1.0, 900)
    assert trickling.left_s == pytest.approx(1.0)
    trickling.took(5.0, 1)
    assert trickling.left_s == 0.0


def raw(url: str) -> socket.socket:
    place = urlsplit(url)
    opened = socket.create_connection((place.hostname or "", place.port or 0), timeout=PATIENCE_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def trickle(connection: socket.socket, byte: bytes) -> tuple[bytes, float]:
    """Sends a byte again and again until the server has enough: what it said, and after how many seconds."""
    said, began = b"", time.monotonic()
    connection.settimeout(0.02)
    while time.monotonic() - began < PATIENCE_S:
        try:
            connection.sendall(byte)
            more = connection.recv(65_536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not more:
            break
        said += more
    return said, time.monotonic() - began


FORM = b"Host: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n--x\r\n"


@pytest.mark.parametrize(
    ("head", "byte", "told"),
    [
        (b"GET /batches HTTP/1.1\r\nX-Slow: ", b"a", b""),
        (b"", b"G", b""),
        (b"POST /batches HTTP/1.1\r\n" + FORM, b"C", b"408"),
        (b"POST /analyze HTTP/1.1\r\n" + FORM, b"C", b"408"),
        (b"POST /v1/files HTTP/1.1\r\n" + FORM, b"C", b"408"),
        # Refused at once: what comes after is nobody's, and does not keep the connection.
        (b"POST /nowhere HTTP/1.1\r\n" + FORM, b"C", b"404"),
        (b"POST /batches HTTP/1.1\r\nOrigin: https://evil.example\r\n" + FORM, b"C", b"403"),
        (b"GET /batches HTTP/1.1\r\n" + FORM, b"C", b"200"),
    ],
)
def test_who_trickles_is_sent_away(
    user: Producer, monkeypatch: pytest.MonkeyPatch, head: bytes, byte: bytes, told: bytes
) -> None:
    monkeypatch.setattr(guard, "_PACE_S", 0.5)
    monkeypatch.setattr(listening, "_HEAD_S", 0.5)
    with served(user.settings) as url, raw(url) as connection:
        connection.sendall(head)
        said, took_s = trickle(connection, byte)
        assert told in said.partition(b"\r\n")[0]
        assert took_s < PATIENCE_S


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_head_that_is_none_is_refused_in_the_one_shape(user: Producer, head: bytes) -> None:
    with served(user.settings) as url, raw(url) as connection:
        connection.settimeout(PATIENCE_S)
        with suppress(OSError):  # it may be refused before it is through
            connection.sendall(head)
        said = b""
        while more := _received(connection):
            said += more
        if said:  # a reset may overtake the answer to what is far too long
            assert said.startswith(b"HTTP/1.1 400 "), said[:100]
            assert set(json.loads(said.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}
        assert len(head) > 100_000 or said


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionError:
        return b""


def test_a_body_that_is_no_http_ends_its_connection_and_no_more(
    user: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    with served(user.settings) as url:
        for path in (b"/batches", b"/nowhere", b"/batches/events"):
            with raw(url) as connection:
                method = b"GET " if b"events" in path else b"POST "
                connection.sendall(
                    method + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                time.sleep(0.1)
                connection.sendall(b"zz\r\nno chunk")
                while _received(connection):
                    pass
        with raw(url) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_answer_that_comes_after_the_body_was_refused_is_for_nobody(
    user: Producer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = BoundedProtocol.connection_made

    def made_to_close_late(protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        close = transport.close  # as on a busy machine: it has taken effect only after the route's answer
        monkeypatch.setattr(transport, "close", lambda: protocol.loop.call_later(0.2, close))
        made(protocol, transport)

    monkeypatch.setattr(BoundedProtocol, "connection_made", made_to_close_late)
    with served(user.settings) as url:
        for path in (b"/batches", b"/nowhere"):
            with raw(url) as connection:
                head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                connection.sendall(head + b"zz\r\nno chunk")
                answer = b""
                while piece := _received(connection):
                    answer += piece
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.count(b"content-length:") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def zipped() -> bytes:
    """A zip of forms, which unpacks to much more than it is."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.png", b"\0" * 1_000_000)
    return out.getvalue()


def form(*parts: bytes) -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


FILE = b'Content-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s'
FIELD = b'Content-Disposition: form-data; name="%s"\r\n\r\n%s'
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (MULTIPART, form(FIELD % (b"prompt", b"Up?"), FILE % (b"a.zip", zipped())), 400),
        (MULTIPART, form(*(FIELD % (b"f%d" % n, b"x") for n in range(1000))), 413),
        (MULTIPART, form(*(FILE % (b"a.png", b"") for _ in range(10_001))), 413),
        (MULTIPART, form(FIELD % (b"prompt", b"x" * 1_100_000), FILE % (b"a.png", png())), 413),
        (MULTIPART, form(*(FIELD % (b"prompt", b"x" * 600_000) for _ in range(2))), 400),
        (MULTIPART, form(FILE % (b"../../etc/cron.d/x", png()), FIELD % (b"prompt", b"Up?")), 201),
        (MULTIPART, form(FILE % (b"a.png", png()), FIELD % (b"prompt", b"\xff")), 400),
        (MULTIPART, form(FILE % (b"a.png", png()), FIELD % (b"owner", b"ann")), 400),
        (MULTIPART, form(b"X: " + b"y" * 100_000 + b"\r\n\r\nz"), 400),
        (MULTIPART, form(b"Content-Type: text/plain\r\n\r\nz"), 400),
        (MULTIPART, form(b"Content-Disposition: form-data; name=\"files\"; filename*=utf-8''%41\r\n\r\nz"), 400),
        (MULTIPART, b"--x" * 100_000, 400),
        (MULTIPART, b"\0" * 100_000, 400),
        (MULTIPART, b"", 400),
        ("multipart/form-data; boundary=" + "x" * 10_000, b"--x", 400),
        ("multipart/mixed; boundary=x", form(FILE % (b"a.png", png())), 415),
        ("application/x-www-form-urlencoded", b"prompt=Up", 415),
        ("application/xml", b"<x/>", 415),
        ("application/zip", zipped(), 415),
        ("", b"", 415),
    ],
)
def test_a_body_of_nonsense_is_refused_with_words(api: TestClient, kind: str, body: bytes, status: int) -> None:
    answer = api.post("/batches", content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    if status == 201:
        [row] = api.get(f"/batches/{answer.json()['batch_id']}/rows").json()["data"]
        assert ".." not in row["custom_id"]
    else:
        error_of(answer)


def everything(
    api: TestClient, ids: dict[str, str], headers: dict[str, str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every request that `/openapi.json` knows, with these ids in their places, and some words of its query."""
    words = {"error": "ImageError", "model": "org/model", "after": ids["batch_id"], "with": ids["batch_id"]}
    document: Any = api.get("/openapi.json", headers=headers).json()
    for path, operations in document["paths"].items():
        filled = path.replace("{model}", "org/model")
        if path.startswith("/v1/"):
            filled = filled.replace("{batch_id}", ids["openai"])
        for name, value in ids.items():
            filled = filled.replace(f"{{{name}}}", value)
        assert "{" not in filled, path
        for method, operation in operations.items():
            known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            yield method.upper(), filled, {name: value for name, value in words.items() if name in known}


def test_no_endpoint_gives_or_does_anything_to_another_keys_things(user: Producer, api: TestClient) -> None:
    ann, bob = user.new_key("ann"), user.new_key("bob")
    reader = user.new_key("ann-reads", "--read-only")
    made = api.post("/batches", files=[("files", ("a.png", png()))], data={"prompt": "Secret of ann"}, headers=ann)
    lines = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions"}
    lines["body"] = {"model": "org/model", "messages": [{"role": "user", "content": "x"}]}  # type: ignore[assignment]
    file = {"file": ("ann.jsonl", json.dumps(lines).encode())}
    file_id = api.post("/v1/files", data={"purpose": "batch"}, files=file, headers=ann).json()["id"]
    asked = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    openai_id = api.post("/v1/batches", json=asked, headers=ann).json()["id"]
    batch_id = made.json()["batch_id"]
    job_id = user.results(batch_id)[0]["job_id"]
    ids = {"batch_id": batch_id, "job_id": job_id, "file_id": file_id, "openai": openai_id}
    tried = list(everything(api, ids, bob))
    assert len(tried) > 30
    for method, path, query in tried:
        theirs = any(one in path for one in ids.values())
        if not path.endswith("/batches/events"):  # it has no end
            answer = api.request(method, path, headers=bob, params=query if theirs else {})
            assert not theirs or answer.status_code == 404, (method, path, answer.text)
            for secret in (*ids.values(), "Secret of ann", "ann.jsonl"):
                assert secret not in answer.text.replace(path, "").replace(path.rpartition("/")[2], "") or theirs
        if path not in ("/health", "/"):
            assert api.request(method, path).status_code == 401, (method, path)
        if method != "GET":
            assert api.request(method, path, headers=reader).status_code == 403, (method, path)
    assert user.status(batch_id)["request_counts"]["queued"] == 1
    assert user.status(batch_id)["hold"] is None


def test_a_key_stands_in_no_log_whatever_is_done_with_it(
    user: Producer, api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    ann = user.new_key("ann")
    secret = ann["authorization"].split("-", 2)[2]
    with caplog.at_level(logging.DEBUG):
        for headers in (ann, {"authorization": ann["authorization"] + "x"}, {"authorization": f"Basic {secret}"}, {}):
            api.get(f"/batches?api_key={secret}", headers=headers)
            api.post("/batches", content=f"{{{secret}", headers={**headers, "content-type": "application/json"})
            api.post("/nowhere", headers={**headers, "x-request-id": secret + "\x1b"})
    ours = [record for record in caplog.records if record.name.startswith(("chartq", "jobs", "worker", "uvicorn"))]
    assert ours
    assert not [record for record in ours if re.search(secret, str(vars(record)))]
