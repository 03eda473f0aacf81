"""Keys: who has none gets nothing, each sees its own, and none is written down anywhere."""

import json
import logging
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from support.http_api import client_of, error_of, png
from support.producer import Producer

from jobs.server import auth
from jobs.server.backend import Services

pytestmark = pytest.mark.usefixtures("each_store")


def upload(api: TestClient, headers: dict[str, str], shade: int = 0) -> Any:
    files = [("files", ("a.png", png(shade), "image/png"))]
    return api.post("/batches", files=files, data={"prompt": "Up?"}, headers=headers)


def test_with_a_key_every_request_but_health_needs_one(user: Producer, api: TestClient) -> None:
    assert api.get("/batches").status_code == 200
    ann = user.new_key("ann")
    for path in ("/batches", "/lanes", "/openapi.json", "/nowhere", "/v1/models", "/jobs/x", "/health/../batches"):
        answer = api.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert error_of(answer)["code"] == "invalid_api_key"
    assert api.get("/health").status_code == 200
    assert api.get("/batches", headers=ann).status_code == 200
    right = ann["authorization"]
    for wrong in (
        right[:-1],
        right + "x",
        right.replace("Bearer", "Basic"),
        "Bearer ",
        "Bearer cq-",
        "Bearer \xff",
        right[7:],
    ):
        assert api.get("/batches", headers=[(b"authorization", wrong.encode("latin-1"))]).status_code == 401, wrong
    assert api.get("/batches", headers={"authorization": right.replace("Bearer", "bearer")}).status_code == 200


def test_a_key_sees_what_it_made_and_404_for_all_else(user: Producer, api: TestClient) -> None:
    before = upload(api, {}).json()["batch_id"]
    ann, bob = user.new_key("ann"), user.new_key("bob")
    mine = upload(api, ann).json()["batch_id"]
    job_id = user.results(mine)[0]["job_id"]
    file_id = api.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a", b"{}")}, headers=ann).json()["id"]
    asked = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    openai_id = api.post("/v1/batches", json=asked, headers=ann).json()["id"]
    theirs = (
        ("GET", f"/batches/{mine}"),
        ("GET", f"/batches/{mine}/results"),
        ("GET", f"/batches/{mine}/events"),
        ("GET", f"/batches/{mine}/prices"),
        ("GET", f"/batches/{mine}/compare?with={mine}"),
        ("POST", f"/batches/{mine}/cancel"),
        ("POST", f"/batches/{mine}/retry"),
        ("POST", f"/batches/{mine}/resume"),
        ("GET", f"/batches?after={mine}"),
        ("GET", f"/v1/files/{file_id}"),
        ("GET", f"/v1/files/{file_id}/content"),
        ("DELETE", f"/v1/files/{file_id}"),
        ("GET", f"/v1/batches/{openai_id}"),
        ("POST", f"/v1/batches/{openai_id}/cancel"),
        ("GET", f"/v1/files/file-{openai_id}-output/content"),
        ("GET", f"/v1/files/file-{openai_id}-errors"),
    )
    for method, path in theirs:
        answer = api.request(method, path, headers=bob)
        assert answer.status_code == 404, path
        error_of(answer)
    assert api.post("/v1/batches", json=asked, headers=bob).status_code == 404
    assert api.get(f"/jobs/{job_id}", headers=ann).status_code == 200
    assert api.get(f"/jobs/{job_id}", headers=bob).status_code == 404
    assert api.get(f"/batches/{before}", headers=ann).status_code == 404
    assert {one["batch_id"] for one in api.get("/batches", headers=ann).json()["data"]} == {mine, openai_id}
    assert api.get("/batches", headers=bob).json()["data"] == []
    assert api.get("/v1/files", headers=bob).json()["data"] == []
    assert api.get("/v1/batches", headers=bob).json()["data"] == []
    assert len(api.get("/lanes", headers=ann).json()["data"]) == 1
    assert api.get("/lanes", headers=bob).json()["data"] == []
    data = {"prompt": "Up?", "model": "secret/model"}
    api.post("/batches", files=[("files", ("a.png", png()))], data=data, headers=ann)
    for asks, sees in ((ann, True), (bob, False)):
        for path in ("/v1/models", "/lanes"):
            assert ("secret/model" in api.get(path, headers=asks).text) == sees
    his = upload(api, bob).json()["batch_id"]
    assert his != mine
    assert api.get(f"/batches/{his}/compare", params={"with": mine}, headers=bob).status_code == 404
    assert api.get(f"/jobs/{job_id}", headers=bob).status_code == 200  # the same chart, the same question: its own now


def test_a_submit_that_died_is_gone_on_with_by_its_own_key_alone(user: Producer, api: TestClient) -> None:
    (user.folder / "a.png").write_bytes(png())
    ann, bob = user.new_key("ann"), user.new_key("bob")
    asked = {"paths": ["a.png"], "prompt": "Up?"}
    mine = api.post("/batches", json=asked, headers=ann).json()["batch_id"]
    with user.session() as session:
        session.ledger.unseal(session.ledger.batch(mine))
    assert api.post("/batches", json=asked, headers=bob).json()["batch_id"] != mine
    assert api.post("/batches", json=asked, headers=ann).json()["batch_id"] == mine


def test_of_a_chart_that_two_keys_ask_about_each_is_told_its_own_name_and_place(
    user: Producer, api: TestClient
) -> None:
    callers = {name: user.new_key(name) for name in ("ann", "bob")}
    for name, headers in callers.items():
        (user.folder / name).mkdir()
        (user.folder / name / f"of-{name}.png").write_bytes(png())
        asked = {"paths": [f"{name}/of-{name}.png"], "prompt": "Up?"}
        batch_id = api.post("/batches", json=asked, headers=headers).json()["batch_id"]
    job_id = user.results(batch_id)[0]["job_id"]
    for name, headers in callers.items():
        told = api.get(f"/jobs/{job_id}", headers=headers).json()
        assert (told["custom_id"], told["image"]) == (f"of-{name}.png", f"{name}/of-{name}.png")
    (user.folder / "bob" / "of-bob.png").unlink()
    seen = [api.get(f"/jobs/{job_id}/picture", headers=headers).status_code for headers in callers.values()]
    assert seen == [200, 404]


def test_a_key_that_only_reads_changes_nothing(user: Producer, api: TestClient) -> None:
    reader = user.new_key("ann", "--read-only")
    assert api.get("/batches", headers=reader).status_code == 200
    answer = upload(api, reader)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "read_only_key")


def test_a_name_may_have_a_key_that_acts_and_one_that_reads_and_both_see_the_same(
    user: Producer, api: TestClient
) -> None:
    acting, reading = user.new_key("ann"), user.new_key("ann", "--read-only")
    mine = upload(api, acting).json()["batch_id"]
    job_id = user.results(mine)[0]["job_id"]
    for path in (f"/batches/{mine}", f"/batches/{mine}/results", f"/jobs/{job_id}", "/batches", "/lanes"):
        seen = [api.get(path, headers=headers) for headers in (acting, reading)]
        assert [one.status_code for one in seen] == [200, 200], path
        assert seen[0].content == seen[1].content, path
    told = [api.get("/key", headers=headers).json() for headers in (acting, reading)]
    assert [(one["name"], one["read_only"]) for one in told] == [("ann", False), ("ann", True)]
    assert api.post(f"/batches/{mine}/cancel", headers=reading).status_code == 403
    assert api.post(f"/batches/{mine}/cancel", headers=acting).status_code == 200
    for options, kind in ((), "key"), (("--read-only",), "read-only key"):
        assert f"there is a {kind} 'ann'" in user.run("keys", "create", "ann", *options, expect=1).stderr
    listed = [json.loads(line) for line in user.run("keys", "list", "--json").stdout.splitlines()]
    assert [(one["name"], one["read_only"], one["revoked_at"]) for one in listed] == [
        ("ann", False, None),
        ("ann", True, None),
    ]
    assert "2 keys" in user.run("keys", "revoke", "ann").stderr
    assert [api.get("/batches", headers=headers).status_code for headers in (acting, reading)] == [401, 401]
    assert user.run("keys", "revoke", "ann", expect=1)
    assert api.get(f"/batches/{mine}", headers=user.new_key("ann", "--read-only")).status_code == 200


def test_a_revoked_key_opens_nothing_and_neither_does_none(user: Producer, api: TestClient) -> None:
    ann = user.new_key("ann")
    mine = upload(api, ann).json()["batch_id"]
    user.run("keys", "revoke", "ann")
    assert api.get("/batches", headers=ann).status_code == 401
    assert api.get("/batches").status_code == 401
    assert user.run("keys", "revoke", "ann", expect=1)
    again = user.new_key("ann")
    assert api.get(f"/batches/{mine}", headers=again).status_code == 200
    assert "ann" in user.run("keys", "create", "ann", expect=1).stderr
    assert user.run("keys", "create", "a\nb", expect=1)
    assert user.run("keys", "list").stdout.count("ann") == 2


def test_a_key_stands_neither_in_the_store_nor_in_logs(
    user: Producer, api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    ann = user.new_key("ann")
    secret = ann["authorization"].split("-", 2)[2].encode()
    with caplog.at_level(logging.DEBUG):
        upload(api, ann)
        api.get(f"/batches?key={ann['authorization'][7:]}", headers=ann)
    ours = [record for record in caplog.records if record.name.startswith(("chartq", "jobs", "worker"))]
    assert not any(secret.decode() in str(vars(record)) for record in ours)
    assert any(record.__dict__.get("key") == "ann" for record in ours)
    for path in (user.folder / "home").rglob("*"):
        if path.is_file() and not path.is_socket():
            assert secret not in path.read_bytes(), path
    assert secret.decode() not in user.run("keys", "list", "--json").stdout


def test_a_key_is_remembered_for_a_second_and_no_longer(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_FRESH_S", 0.2)
    with client_of(user.settings) as api:
        ann = user.new_key("ann")
        assert api.get("/batches", headers=ann).status_code == 200
        user.run("keys", "revoke", "ann")
        time.sleep(0.25)
        assert api.get("/batches", headers=ann).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"host": "[::1", "origin": "http://[::1"}, 403),
    ],
)
def test_without_keys_no_web_page_of_elsewhere_gets_in(user: Producer, headers: dict[str, str], status: int) -> None:
    with client_of(user.settings, services=Services(loopback_only=True)) as api:
        answer = api.get("/batches", headers={"host": "127.0.0.1:8000", **headers})
        assert answer.status_code == status
