"""A batch's rows, some at a time, its failures by kind, and pictures that are still what was asked about."""

import io

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from support.http_api import error_of, png
from support.producer import Producer

from jobs.server.routes import rows


def submitted(user: Producer, *names: str) -> str:
    for shade, name in enumerate(names):
        (user.folder / name).write_bytes(png(shade))
    return str(user.submit(*(user.folder / name for name in names))["batch_id"])


def names(api: TestClient, batch_id: str, **query: str | int) -> tuple[list[str], int]:
    page = api.get(f"/batches/{batch_id}/rows", params=query).json()
    return [row["custom_id"] for row in page["data"]], page["total"]


def test_rows_come_by_window_state_kind_of_error_and_words(user: Producer, api: TestClient) -> None:
    batch_id = submitted(user, "a_1.png", "ab1.png", "c.png", "d%.png")
    user.fail(user.results(batch_id)[3]["job_id"])
    user.answer(batch_id, text="Rising, 100%")
    assert names(api, batch_id, offset=1, limit=2) == (["ab1.png", "c.png"], 4)
    assert names(api, batch_id, offset=9) == ([], 4)
    assert names(api, batch_id, status="failed") == (["d%.png"], 1)
    assert names(api, batch_id, error="ImageError") == (["d%.png"], 1)
    assert names(api, batch_id, error="Other") == ([], 0)
    assert names(api, batch_id, q="a_1") == (["a_1.png"], 1)
    assert names(api, batch_id, q="rising", limit=1) == (["a_1.png"], 3)
    assert names(api, batch_id, q="0%") == (["a_1.png", "ab1.png", "c.png"], 3)
    assert names(api, batch_id, q="%' OR 1=1") == ([], 0)
    assert names(api, batch_id, field="trend", value="up") == ([], 0)
    [kind] = api.get(f"/batches/{batch_id}/errors").json()["data"]
    assert (kind["type"], kind["count"]) == ("ImageError", 1)
    again = api.post(f"/batches/{batch_id}/retry", params={"error": "Other"}).json()
    assert again["request_counts"]["failed"] == 1
    again = api.post(f"/batches/{batch_id}/retry", params={"error": "ImageError"}).json()
    assert again["request_counts"]["queued"] == 1


@pytest.mark.parametrize(
    ("text", "field", "value", "fits"),
    [
        ('{"trend": "up"}', "trend", "up", True),
        ('{"trend":"UP"}', "trend", "up", True),
        ('{\n  "trend": "up",\n  "n": 1\n}', "trend", "up", True),
        ('{"trend": "upwards"}', "trend", "up", False),
        ('{"a_trend": "up"}', "trend", "up", False),
        ('{"trend": "down", "note": "\\"trend\\": \\"up\\""}', "trend", "up", False),
        ('{"pattern": "head and shoulders"}', "pattern", "head and shoulders", True),
        ('{"says": "\\"x\\""}', "says", '"x"', True),
        ('{"n": 0.8}', "n", "0.8", True),
        ('{"n": 0.85, "m": 1}', "n", "0.8", False),
        ('{"ok": true, "m": 1}', "ok", "true", True),
        ('{"trend": "u%p"}', "trend", "%", False),
        ('{"trend": null}', "trend", "null", True),
    ],
)
def test_rows_come_by_a_field_of_their_answers(
    user: Producer, api: TestClient, text: str, field: str, value: str, fits: bool
) -> None:
    batch_id = submitted(user, "a.png")
    user.answer(batch_id, text=text)
    assert names(api, batch_id, field=field, value=value) == ((["a.png"], 1) if fits else ([], 0))
    assert names(api, batch_id, field=field, value=value, status="failed") == ([], 0)


def test_pages_that_have_seen_the_same_are_answered_together(
    user: Producer, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = submitted(user, "a.png")
    path = f"/batches/{batch_id}/rows"
    monkeypatch.setattr(rows, "_SEEN_FRESH_S", 60)
    first = api.get(path, params={"seen": "1"}).json()
    user.answer(batch_id)
    assert api.get(path, params={"seen": "1"}).json() == first
    for query in ({"seen": "2"}, {}, {"seen": "1", "status": "finished"}):
        assert api.get(path, params=query).json()["data"][0]["status"] == "finished"
    for _ in range(2):
        assert api.get("/batches/no/rows", params={"seen": "1"}).status_code == 404
    ann = user.new_key("ann")
    assert api.get(path, params={"seen": "1"}, headers=ann).status_code == 404


def test_what_is_shown_is_canceled_and_the_rest_waits_on(user: Producer, api: TestClient) -> None:
    batch_id = submitted(user, "a_1.png", "ab1.png", "c.png", "d.png")
    user.fail(user.results(batch_id)[3]["job_id"])
    for query, canceled in (({"q": "d"}, 0), ({"status": "failed"}, 0), ({"q": "a_"}, 1), ({"status": "queued"}, 3)):
        document = api.post(f"/batches/{batch_id}/cancel", params=query).json()
        assert document["request_counts"]["canceled"] == canceled, query
        assert names(api, batch_id, status="canceled")[1] == canceled
        with user.session() as session:
            lanes = [session.ledger.batch(batch_id).question.lane]
            assert sum(depth.queued for depth in session.queues.depths(lanes)) == 3 - canceled
    assert document["status"] == "completed_with_errors"
    assert user.submit(user.folder / "c.png", user.folder / "a_1.png")["queued"] == 2
    assert user.status(batch_id)["request_counts"]["canceled"] == 3


def test_a_picture_is_shown_while_it_is_what_was_asked_about(user: Producer, api: TestClient) -> None:
    batch_id = submitted(user, "a.png")
    job_id = user.results(batch_id)[0]["job_id"]
    answer = api.get(f"/jobs/{job_id}/picture")
    assert Image.open(io.BytesIO(answer.content)).format == "WEBP"
    (user.folder / "a.png").write_bytes(png(200))
    assert "has changed" in error_of(api.get(f"/jobs/{job_id}/picture"))["message"]
    (user.folder / "a.png").unlink()
    assert api.get(f"/jobs/{job_id}/picture").status_code == 404
    assert api.get(f"/jobs/{job_id}/picture", params={"number": 1}).status_code == 404


def test_another_keys_rows_and_pictures_are_not_there(user: Producer, api: TestClient) -> None:
    batch_id = submitted(user, "a.png")
    job_id = user.results(batch_id)[0]["job_id"]
    ann = user.new_key("ann")
    for path in (f"/batches/{batch_id}/rows", f"/batches/{batch_id}/errors", f"/jobs/{job_id}/picture"):
        assert api.get(path).status_code == 401
        assert api.get(path, headers=ann).status_code == 404
