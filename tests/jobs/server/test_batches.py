"""Batches by HTTP: the commands' documents, pictures that are uploaded, paths that lead nowhere else."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from support.http_api import client_of, error_of, png
from support.producer import Producer
from support.stack import draw_charts

from jobs import batch_status
from jobs.core.money import Price
from jobs.formats import FORMATS
from jobs.server.backend import Services

ENVIRONMENT = {"VISION_MODEL": "org/model"}


@pytest.fixture
def api(user: Producer) -> Iterator[TestClient]:
    """An app that reads charts below the user's `charts`."""
    draw_charts(user.folder / "charts", 3)
    settings = dataclasses.replace(user.settings, chart_root=user.folder / "charts")
    with client_of(settings) as client:
        yield client


def upload(api: TestClient, *shades: int, **fields: str) -> dict[str, object]:
    files = [("files", (f"chart-{shade}.png", png(shade), "image/png")) for shade in shades]
    answer = api.post("/batches", files=files, data={"prompt": "Up?", **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/batches/{answer.json()['batch_id']}"
    document: dict[str, object] = answer.json()
    return document


def test_uploaded_pictures_become_a_batch_and_its_answers_come_back(user: Producer, api: TestClient) -> None:
    submitted = upload(api, 1, 2, name="mine", model="org/other", parameters='{"max_tokens": 5}')
    told = {"total": 2, "queued": 2, "cached": 0, "rejected": [], "shrunk": 0}
    assert submitted == {"batch_id": submitted["batch_id"], **told}
    batch_id = str(submitted["batch_id"])
    assert api.get(f"/batches/{batch_id}").json() == user.status(batch_id)
    assert [batch["name"] for batch in api.get("/batches").json()["data"]] == ["mine"]

    user.answer(batch_id)
    rows = [json.loads(line) for line in api.get(f"/batches/{batch_id}/results").text.splitlines()]
    assert [(row["custom_id"], row["text"]) for row in rows] == [("chart-1.png", "up"), ("chart-2.png", "up")]
    assert rows == user.results(batch_id)
    job = api.get(f"/jobs/{rows[0]['job_id']}").json()
    assert (job["status"], job["result"]["text"], job["model"]) == ("finished", "up", "org/other")
    assert upload(api, 1, 2, model="org/other", parameters='{"max_tokens": 5}')["cached"] == 2


def test_a_damaged_picture_is_rejected_by_its_name_and_the_others_go_on(api: TestClient) -> None:
    files = [("files", ("good.png", png(), "image/png")), ("files", ("../bad.png", b"<html>", "image/png"))]
    answer = api.post("/batches", files=files, data={"prompt": "Up?"}).json()
    assert answer["total"] == 1
    assert [(one["path"], "HTML" in one["error"]) for one in answer["rejected"]] == [("bad.png", True)]
    alone = api.post("/batches", files=files[1:], data={"prompt": "Up?"})
    assert alone.status_code == 400
    assert "no image was accepted" in error_of(alone)["message"]


def test_names_of_uploads_lead_nowhere_and_stay_apart(user: Producer, api: TestClient) -> None:
    names = ["a/b.png", "/a/b.png", "..\\..\\a\\b.png", "\x1b[31m.png", "...", "a.png"]
    files = [("files", (name, png(shade), "image/png")) for shade, name in enumerate(names)]
    batch_id = api.post("/batches", files=files, data={"prompt": "Up?"}).json()["batch_id"]
    ids = [row["custom_id"] for row in user.results(batch_id)]
    assert ids == ["a/b.png", "a/b~2.png", "a/b~3.png", "\ufffd[31m.png", "picture", "a.png"]


def test_files_of_the_server_are_read_below_chart_root_only(user: Producer, api: TestClient, tmp_path: Path) -> None:
    def post(*paths: str) -> object:
        return api.post("/batches", json={"paths": paths, "prompt": "Up?"})

    done = api.post("/batches", json={"paths": ["group-00"], "prompt": "Up?", "sample": 2})
    assert done.json()["total"] == 2
    assert done.json()["sample_of"] == 3
    root = user.folder / "charts"
    whole = api.post("/batches", json={"paths": [f"file://{root}/group-00/chart-0001.png"], "prompt": "Which?"})
    assert whole.json()["total"] == 1

    (tmp_path / "secret.png").write_bytes(png(9))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    for path in (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "folder/secret.png",
        f"file://{tmp_path}/secret.png",
        "file://%2e%2e/secret.png",
        "group-00/../../secret.png",
        "/etc/passwd",
        "a\0b",
        "http://127.0.0.1/x.png",
        "",
    ):
        answer = api.post("/batches", json={"paths": [path], "prompt": "Up?"})
        assert answer.status_code == 400, path
        assert str(tmp_path) not in error_of(answer)["message"].replace(path, "")
    inside = api.post("/batches", json={"paths": ["."], "prompt": "Up?"}).json()
    assert inside["total"] == 3
    assert [os.path.basename(one["path"]) for one in inside["rejected"]] == ["link.png"]


def test_without_chart_root_no_path_is_taken(user: Producer) -> None:
    with client_of(user.settings) as api:
        answer = api.post("/batches", json={"paths": ["/etc/passwd"], "prompt": "Up?"})
        assert answer.status_code == 400
        assert "CHART_ROOT" in error_of(answer)["message"]


def test_cancel_retry_and_resume_are_the_commands(user: Producer, api: TestClient) -> None:
    batch_id = str(upload(api, 1, 2)["batch_id"])
    job_id = user.results(batch_id)[0]["job_id"]
    user.fail(job_id)
    assert api.get(f"/batches/{batch_id}").json()["request_counts"]["failed"] == 1
    retried = api.post(f"/batches/{batch_id}/retry").json()
    assert retried["request_counts"] == {**retried["request_counts"], "failed": 0, "queued": 2}
    with user.session() as session:
        session.redis.flushall()
        assert api.post(f"/batches/{batch_id}/resume").json()["status"] == "in_progress"
        assert session.queues.unknown([job_id]) == []
    canceled = api.post(f"/batches/{batch_id}/cancel").json()
    assert canceled["status"] == "canceled"
    assert canceled == batch_status(batch_id, settings=user.settings)


def test_what_has_ended_ended_when_it_did_whoever_cancels_or_pauses_it_afterwards(
    user: Producer, api: TestClient
) -> None:
    batch_id = str(upload(api, 1, 2)["batch_id"])
    user.fail(user.results(batch_id)[0]["job_id"])
    user.answer(batch_id, text="Up.")
    ended = user.status(batch_id)
    assert ended["status"] == "completed_with_errors"
    for action in ("pause", "cancel", "resume"):
        assert api.post(f"/batches/{batch_id}/{action}").json() == ended


def test_results_come_in_every_format_and_state(user: Producer, api: TestClient) -> None:
    batch_id = str(upload(api, 1, 2)["batch_id"])
    user.fail(user.results(batch_id)[0]["job_id"])
    user.answer(batch_id, text="<script>alert(1)</script> =1+1")

    table = list(csv.DictReader(io.StringIO(api.get(f"/batches/{batch_id}/results?format=csv").text)))
    assert [row["status"] for row in table] == ["failed", "finished"]
    report = api.get(f"/batches/{batch_id}/results?format=html")
    assert "<script>alert" not in report.text
    assert report.headers["content-security-policy"].startswith("sandbox")
    assert api.get(f"/batches/{batch_id}/results?format=parquet").content[:4] == b"PAR1"
    lines = [json.loads(line) for line in api.get(f"/batches/{batch_id}/results?format=openai").text.splitlines()]
    assert [line["custom_id"] for line in lines] == ["chart-1.png", "chart-2.png"]
    assert "chart-2.png" in api.get(f"/batches/{batch_id}/results?format=markdown").text
    only = api.get(f"/batches/{batch_id}/results?status=failed").text.splitlines()
    assert len(only) == 1
    assert error_of(api.get(f"/batches/{batch_id}/results?format=exe"))["param"] == "format"
    assert error_of(api.get(f"/batches/{batch_id}/results?status=lost"))["param"] == "status"


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_file_can_be_an_answer_can_be(user: Producer, api: TestClient, form: str) -> None:
    batch_id = str(upload(api, 1, 2)["batch_id"])
    user.answer(batch_id)
    answer = api.get(f"/batches/{batch_id}/results", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMATS[form].media_type
    user.run("results", batch_id, "--format", form, "-o", "answers")
    if form != "html":  # it tells when it was written
        assert answer.content == (user.folder / "answers").read_bytes()


def test_a_report_of_a_second_stage_shows_the_answers_it_asks_about(user: Producer, api: TestClient) -> None:
    first = str(upload(api, 1)["batch_id"])
    user.answer(first, text="A long description.")
    second = user.run("submit", "--from", first, "-p", "Bullish? {text}", "-q").stdout.strip()
    user.answer(second, text="Bullish.")
    report = api.get(f"/batches/{second}/results?format=html").text
    assert 'class="source"' in report
    assert "A long description." in report


def test_a_plan_tells_what_was_answered_already_and_what_the_rest_takes(user: Producer, api: TestClient) -> None:
    hashes = [hashlib.sha256(png(shade)).hexdigest() for shade in (1, 2, 2)]
    asked = {"prompt": "Up?", "sha256": hashes}
    planned = api.post("/batches/plan", json=asked).json()
    assert (planned["total"], planned["cached"], planned["calls"], planned["tokens"]) == (3, 0, 2, None)
    assert planned["model"] == "org/model"
    user.answer(str(upload(api, 1)["batch_id"]))

    def prices(_settings: object, _question: object) -> list[Price]:
        return [Price(input_usd_per_m=1.0, output_usd_per_m=2.0), Price(input_usd_per_m=2.0, output_usd_per_m=4.0)]

    with client_of(user.settings, services=Services(prices_of=prices)) as priced:
        planned = priced.post("/batches/plan", json=asked).json()
        assert (planned["cached"], planned["calls"]) == (1, 1)
        assert planned["price_usd"] == {"least": 13e-6, "most": 26e-6}
        [batch] = priced.get("/batches").json()["data"]
        assert len(priced.get(f"/batches/{batch['batch_id']}/prices").json()["data"]) == 2
    assert error_of(api.post("/batches/plan", json={**asked, "sha256": ["../x"]}))["param"] == "sha256.0"


def test_two_batches_are_compared_as_the_command_does(user: Producer, api: TestClient) -> None:
    one, two = (str(upload(api, 1, 2, prompt=prompt)["batch_id"]) for prompt in ("Up?", "Down?"))
    user.answer(one, text="<b>up</b>")
    user.answer(two, text="down")
    page = api.get(f"/batches/{one}/compare", params={"with": two})
    assert "sandbox" in page.headers["content-security-policy"]
    assert "&lt;b&gt;" in page.text
    assert "<b>up" not in page.text
    table = api.get(f"/batches/{one}/compare", params={"with": two, "format": "csv"}).text
    assert table == user.run("compare", one, two, "--format", "csv").stdout
    assert api.get(f"/batches/{one}/compare", params={"with": "no"}).status_code == 404
    assert api.get(f"/batches/{one}/compare", params={"with": two, "format": "x"}).status_code == 400


def test_a_list_has_pages(api: TestClient) -> None:
    ids = [upload(api, shade)["batch_id"] for shade in range(3)]
    first = api.get("/batches?limit=2").json()
    assert [batch["batch_id"] for batch in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"]
    rest = api.get(f"/batches?limit=2&after={ids[1]}").json()
    assert [batch["batch_id"] for batch in rest["data"]] == [ids[0]]
    assert not rest["has_more"]


def test_events_tell_of_every_change_until_the_end(user: Producer, api: TestClient) -> None:
    batch_id = str(upload(api, 1)["batch_id"])
    user.answer(batch_id)
    with api.stream("GET", f"/batches/{batch_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = list(stream.iter_lines())
    assert lines[0] == "event: status"
    assert json.loads(lines[1].removeprefix("data: "))["status"] == "completed"


def test_lanes_say_what_the_command_says(user: Producer, api: TestClient) -> None:
    upload(api, 1)
    lanes = api.get("/lanes").json()["data"]
    assert lanes == [json.loads(line) for line in user.run("lanes", "--json").stdout.splitlines()]
    assert lanes[0]["queued"] == 1
