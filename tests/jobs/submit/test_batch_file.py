"""A requests file, `chartq submit requests.jsonl`: OpenAI's batch lines in, one batch out, its lines out again."""

import json
import os
import re
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from openai.types.chat import ChatCompletion
from support.faults import by_prompt
from support.pictures import encoded, picture
from support.producer import Producer
from support.repository import ROOT
from support.request_lines import MODEL, ask, body, data_uri, image_part, request, write
from support.stack import Stack, draw_charts, finish, stack

from jobs import submit_requests
from jobs.batches import operations
from jobs.submit.batch_file import lines
from jobs.submit.batch_line import parse_request
from worker.rehearsal import Rehearsal

T = TypeVar("T")


def submit(user: Producer, *args: str, expect: int = 0) -> dict[str, Any]:
    return user.run("submit", *args, "--json", expect=expect).json()


def three(user: Producer) -> Path:
    """Requests about three charts: two files and a picture within the line."""
    draw_charts(user.folder, 3)
    uri = data_uri((user.folder / "group-00" / "chart-0002.png").read_bytes())
    return write(
        user.folder / "requests.jsonl",
        [
            request("first", body(ask("Up?", "group-00/chart-0000.png"))),
            request("second", body(ask("Down?", (user.folder / "group-00" / "chart-0001.png").as_uri()))),
            request("third", body([{"role": "system", "content": "Be brief."}, *ask("Sideways?", uri)])),
        ],
    )


# What becomes of it


def test_a_batch_has_a_row_per_line_with_its_own_name_and_question(user: Producer) -> None:
    three(user)
    done = submit(user, "requests.jsonl", "--name", "mine")
    assert (done["total"], done["queued"], done["rejected"]) == (3, 3, [])
    rows = user.results(done["batch_id"])
    assert [(row["custom_id"], row["prompt"], row["model"]) for row in rows] == [
        ("first", "Up?", MODEL),
        ("second", "Down?", MODEL),
        ("third", "Sideways?", MODEL),
    ]
    [listed] = [json.loads(line) for line in user.run("list", "--json").stdout.splitlines()]
    assert (listed["name"], listed["model"], listed["request_counts"]["queued"]) == ("mine", MODEL, 3)
    assert user.status(rows[2]["job_id"])["prompt"] == "Sideways?"
    with user.session() as session:
        [depth] = session.queues.depths([session.ledger.batch(done["batch_id"]).question.lane])
        assert depth.queued == 3
        # Redis loses everything: each job comes back to the one lane.
        session.redis.flushall()
        assert operations.resume(session, None)[1].put_back == 3
        [depth] = session.queues.depths([f"chat:{MODEL}"])
        assert depth.queued == 3


def test_a_plain_request_is_the_job_that_p_asks(user: Producer) -> None:
    three(user)
    asked = user.submit("group-00/chart-0000.png", "-m", MODEL, "--param", "max_tokens=50", prompt="Up?")
    user.answer(asked["batch_id"])
    done = submit(user, "requests.jsonl")
    assert (done["total"], done["queued"], done["cached"]) == (3, 2, 1)
    assert user.results(done["batch_id"])[0]["text"] == "up"


def test_the_same_picture_is_the_same_job_wherever_it_lies(user: Producer) -> None:
    file = draw_charts(user.folder, 1) / "group-00" / "chart-0000.png"
    urls = ["group-00/chart-0000.png", file.as_uri(), data_uri(file.read_bytes())]
    write(user.folder / "r.jsonl", [request(str(n), body(ask("Up?", url))) for n, url in enumerate(urls)])
    done = submit(user, "r.jsonl")
    assert len({row["job_id"] for row in user.results(done["batch_id"])}) == 1


def test_an_unfinished_submit_of_the_same_file_is_taken_up_and_another_is_not(user: Producer) -> None:
    file = three(user)
    first = submit(user, "requests.jsonl")
    with user.session() as session:
        order = session.ledger.batch(first["batch_id"]).fingerprint
        found = session.ledger.find_batch(order, among="unfinished")
        assert found is not None
        assert found.batch_id == first["batch_id"]
    _unseal(user)
    assert submit(user, "requests.jsonl")["batch_id"] == first["batch_id"]
    assert len(user.results(first["batch_id"])) == 3
    _unseal(user)
    for changed in (["-m", "org/other"], ["--refresh"]):
        assert submit(user, "requests.jsonl", *changed)["batch_id"] != first["batch_id"]
    with file.open("a") as more:
        more.write(request("fourth", body(ask("And now?", "group-00/chart-0000.png"))) + "\n")
    added = submit(user, "requests.jsonl")
    assert added["batch_id"] != first["batch_id"]
    assert added["total"] == 4


def _unseal(user: Producer) -> None:
    """As a submit leaves its batch that dies before its end."""
    with closing(sqlite3.connect(user.folder / "home" / "results.sqlite")) as connection, connection:
        connection.execute("UPDATE batches SET sealed_at = NULL WHERE id = 1")


def test_a_dry_run_writes_nothing_and_tells_the_same(user: Producer) -> None:
    three(user)
    plan = submit(user, "requests.jsonl", "--dry-run")
    assert (plan["total"], plan["calls"], plan["rejected"]) == (3, 3, [])
    assert user.run("list", "--json").stdout == ""


def test_python_programs_submit_a_file_too(user: Producer) -> None:
    three(user)
    done = submit_requests("requests.jsonl", model="org/other", name="n", settings=user.settings)
    assert done["total"] == 3
    assert {row["model"] for row in user.results(done["batch_id"])} == {"org/other"}


def test_the_example_in_the_documents_is_taken() -> None:
    page = (ROOT / "docs" / "openai-batch.md").read_text("utf-8")
    [block] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    found = [parse_request(line.encode()) for line in block.splitlines()]
    assert [(one.custom_id, bool(one.question.messages)) for one in found] == [("eurusd", False), ("dax", True)]


# What is refused


def test_lines_that_cant_be_asked_are_named_by_number_and_the_rest_goes_on(user: Producer) -> None:
    draw_charts(user.folder, 2)
    good = "group-00/chart-0000.png"
    (user.folder / "broken.png").write_bytes(b"\x89PNG")
    write(
        user.folder / "requests.jsonl",
        [
            "{not json",
            "",
            request("a", body(ask("Up?", good))),
            request("a", body(ask("Down?", good))),
            request("b", body(ask("Up?", good), model="org/other")),
            request("c", body(ask("Up?", "http://example.com/chart.png"))),
            request("d", body(ask("Up?", "broken.png"))),
            request("e", body(ask("Up?", "group-00/chart-0001.png"))),
            request("f", {**body(ask("Up?", good)), "stream": True}),
        ],
    )
    done = submit(user, "requests.jsonl")
    assert [row["custom_id"] for row in user.results(done["batch_id"])] == ["a", "e"]
    assert (done["total"], done["queued"]) == (2, 2)
    told = {reject["path"]: reject["error"] for reject in done["rejected"]}
    assert list(told) == [f"requests.jsonl:{number}" for number in (1, 4, 5, 6, 7, 9)]
    says = (
        "no JSON",
        'custom_id "a" stands on an earlier line',
        "first request 'org/model'",
        "write an https:// URL",
        "damaged",
    )
    for error, part in zip(told.values(), says, strict=False):
        assert part in error
    all_models = submit(user, "requests.jsonl", "-m", "org/third")
    assert [row["custom_id"] for row in user.results(all_models["batch_id"])] == ["a", "b", "e"]


def test_without_an_accepted_line_there_is_no_batch(user: Producer) -> None:
    write(user.folder / "requests.jsonl", ["{}", request("a", body(ask("Up?", "gone.png")))])
    done = submit(user, "requests.jsonl", expect=1)
    assert (done["batch_id"], done["total"]) == (None, 0)
    assert [reject["path"] for reject in done["rejected"]] == ["requests.jsonl:1", "requests.jsonl:2"]
    (user.folder / "empty.jsonl").touch()
    assert submit(user, "empty.jsonl", expect=1)["rejected"] == []
    assert user.run("list", "--json").stdout == ""
    quiet = user.run("submit", "requests.jsonl", "-q", expect=1)
    assert quiet.stdout == ""
    assert "'requests.jsonl:1'" in quiet.stderr


@pytest.mark.parametrize(
    "options", [["-p", "Up?"], ["--prompt-file", "p.txt"], ["--param", "max_tokens=5"], ["--schema", "chart"]]
)
def test_a_prompt_beside_a_requests_file_is_wrong_usage(user: Producer, options: list[str]) -> None:
    three(user)
    assert "its lines say that themselves" in user.run("submit", "requests.jsonl", *options, expect=2).stderr


def test_a_requests_file_that_cant_be_read_is_said(user: Producer) -> None:
    assert "No such file" in user.run("submit", "gone.jsonl", expect=1).stderr
    os.mkfifo(user.folder / "pipe.jsonl")
    assert "save it as a file" in user.run("submit", "pipe.jsonl", expect=1).stderr
    charts = draw_charts(user.folder / "charts", 1)
    three(user)
    beside = user.submit(charts, "requests.jsonl")
    assert (beside["total"], [reject["path"] for reject in beside["rejected"]]) == (1, ["requests.jsonl"])
    assert "the only PATH" in beside["rejected"][0]["error"]
    charts.rename(user.folder / "folder.jsonl")
    assert user.submit("folder.jsonl")["total"] == 1


@pytest.mark.parametrize("name", ["requests.ndjson", "REQUESTS.JSONL"])
def test_a_requests_file_is_known_by_its_name(user: Producer, name: str) -> None:
    three(user)
    (user.folder / "requests.jsonl").rename(user.folder / name)
    assert submit(user, name)["total"] == 3
    assert user.submit(name, draw_charts(user.folder / "charts", 1))["rejected"][0]["path"] == name


def test_of_another_name_it_is_said_which_are_taken(user: Producer) -> None:
    three(user)
    (user.folder / "requests.jsonl").rename(user.folder / "requests.json")
    assert "name it requests.jsonl or requests.ndjson" in user.run("submit", "requests.json", expect=2).stderr
    told = user.run("submit", "requests.json", "-p", "Up?", expect=1).stderr
    assert "ends in .jsonl or .ndjson" in told
    draw_charts(user.folder / "charts", 1)
    assert "requests" not in user.run("submit", "charts", expect=2).stderr


def test_lines_come_with_their_numbers_whatever_ends_them(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n \n' + b"x" * 101 + b"\n" + b"y" * 100 + b"\nlast")
    found = list(lines(file, max_bytes=102))
    assert found == [(1, b'{"a":1}\r\n'), (3, b"x" * 101 + b"\n"), (4, b"y" * 100 + b"\n"), (5, b"last")]
    assert [number for number, line in lines(file, max_bytes=50) if line is None] == [3, 4]
    assert [number for number, _ in lines(file, max_bytes=50)] == [1, 3, 4, 5]


# Memory


def test_memory_stays_flat_however_large_the_file(user: Producer) -> None:
    noise = encoded(picture(size=(1000, 1000)), "BMP")  # 3 MB; 4 MB as a line
    line = request("{}", body(ask("Up?", data_uri(noise))))
    file = user.folder / "requests.jsonl"
    with file.open("w") as out:
        for number in range(50):
            out.write(line.replace('"{}"', f'"{number}"', 1) + "\n")
    assert file.stat().st_size > 200_000_000
    user.run("list")  # what is loaded once
    done, peak = _peak(lambda: submit_requests(file, settings=user.settings))
    assert (done["total"], done["rejected"]) == (50, [])
    assert peak < 60_000_000
    with user.session() as session:  # and the picture is kept once
        [batch] = session.ledger.batches()
        [job_id] = {row.job_id for row in session.ledger.results(batch)}
        assert session.ledger.picture(session.ledger.job(job_id).image_sha256) == noise
    assert sum(part.stat().st_size for part in (user.folder / "home").glob("results.sqlite*")) < 20_000_000


def test_a_line_without_end_takes_no_more_memory_than_a_line_may(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b" " * 50_000_000 + b"\n{}\n")
    found, peak = _peak(lambda: list(lines(file, max_bytes=1_000_000)))
    assert found == [(1, None), (2, b"{}\n")]
    assert peak < 5_000_000


def _peak(work: Callable[[], T]) -> tuple[T, int]:
    """What it gives, and the most bytes that it held at a time."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# From end to end


@pytest.fixture
def home(server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token", RETRY_DELAY="0.1") as made:
        yield made


def test_requests_go_in_and_openais_lines_come_out(home: Stack, server: Rehearsal) -> None:
    root = draw_charts(home.folder / "root", 8)
    uri = data_uri((root / "group-00" / "chart-0003.png").read_bytes())
    system = {"role": "system", "content": "Name the trend."}
    asked: dict[str, Any] = {
        "by path": body(ask("Up or down?", "group-00/chart-0001.png")),
        "by url": body(ask("Up or down?", (root / "group-00" / "chart-0002.png").as_uri())),
        "within/line": body(ask("Up or down?", uri)),
        "with system": body([system, *ask("Which way?", uri)]),  # type: ignore[list-item]
        "picture first": body([{"role": "user", "content": [image_part(uri), {"type": "text", "text": "And?"}]}]),
        "refused": body(ask("bad question", uri)),
    }
    file = write(root / "requests.jsonl", [*(request(name, one) for name, one in asked.items()), "{}"])
    server.behave(fault_for=by_prompt({"bad question": 422}))
    document = home.run("run", str(file), "--json", CHART_ROOT=str(root), expect=1).json()
    assert document["request_counts"]["finished"] == 5
    assert document["request_counts"]["failed"] == 1

    assert sorted(_shape(call.body) for call in server.record) == sorted(_shape(one) for one in asked.values())
    assert [call.body["messages"][0] for call in server.record if len(call.body["messages"]) == 2] == [system]
    assert all(call.image_sha256 and call.body["max_tokens"] == 50 for call in server.record)

    home.run("results", document["batch_id"], "--format", "openai", "-o", "out.jsonl", CHART_ROOT=str(root))
    out = [json.loads(line) for line in (home.folder / "out.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in out] == list(asked)[:5]
    for line in out:
        completion = ChatCompletion.model_validate(line["response"]["body"])
        assert completion.choices[0].message.content
    [error] = [json.loads(line) for line in (home.folder / "out.errors.jsonl").read_text().splitlines()]
    assert (error["custom_id"], error["response"]["status_code"]) == ("refused", 422)

    # Every picture is on the report, those of the ledger too; each row says what was asked about it.
    home.run("results", document["batch_id"], "-o", "report.html", CHART_ROOT=str(root))
    page = (home.folder / "report.html").read_text()
    assert page.count("<img src=") == 6
    assert "Which way?" in page
    assert "No picture" not in page
    home.run("results", document["batch_id"], "--sidecar", "side", CHART_ROOT=str(root))
    assert (home.folder / "side" / "within" / "line.txt").read_text()

    server.behave(fault_for=None)
    home.run("retry", document["batch_id"])
    again = home.run("run", str(file), "--json", CHART_ROOT=str(root), expect=0).json()
    assert (again["batch_id"], again["status"]) == (document["batch_id"], "completed")
    assert len(server.record) == 7


def _shape(asked: Any) -> list[list[str]]:
    """Of each message the role and the kinds of its parts, in their order."""
    return [
        [one["role"], *(part["type"] for part in one["content"] if isinstance(part, dict))] for one in asked["messages"]
    ]


def test_a_worker_elsewhere_sees_the_pictures_that_came_within_the_file(home: Stack) -> None:
    charts = draw_charts(home.folder / "charts", 2)
    uris = [data_uri(path.read_bytes()) for path in sorted(charts.rglob("*.png"))]
    file = write(home.folder / "r.jsonl", [request(str(n), body(ask("Up?", uri))) for n, uri in enumerate(uris)])
    batch_id = home.run("submit", str(file), "-q").stdout.strip()
    shutil.rmtree(charts)
    file.unlink()
    elsewhere = home.folder / "other-root"
    elsewhere.mkdir()
    finish(home.worker("--burst", CHART_ROOT=str(elsewhere)))
    rows = home.results(batch_id)
    assert [(row["custom_id"], row["status"], row["image"][:10]) for row in rows] == [
        ("0", "finished", "picture://"),
        ("1", "finished", "picture://"),
    ]
