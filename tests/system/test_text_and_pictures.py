"""Questions with any number of pictures, none included: asked by real workers, and told right in every format."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from support.request_lines import body, image_part, request, write
from support.stack import Stack, draw_charts

from worker.rehearsal import Rehearsal

URL = "https://example.com/chart.png"


def asking(text: str, *urls: str) -> Any:
    return body([{"role": "user", "content": [{"type": "text", "text": text}, *map(image_part, urls)]}])


def four_kinds(user: Stack) -> str:
    """A batch of a text, one picture, two pictures, and a URL; answered."""
    a, b = (f"group-00/chart-000{number}.png" for number in (0, 1))
    draw_charts(user.folder, 2)
    lines = [("text", asking("What is a wick?")), ("one", asking("Up?", a)), ("two", asking("Which?", b, a))]
    write(user.folder / "r.jsonl", [request(name, asked) for name, asked in [*lines, ("url", asking("Up?", URL))]])
    done = user.run("run", "r.jsonl", "--json").json()
    assert (done["status"], done["request_counts"]["finished"]) == ("completed", 4)
    return str(done["batch_id"])


def test_the_server_sees_as_many_pictures_as_the_question_has(user: Stack, server: Rehearsal) -> None:
    four_kinds(user)
    saw = {call.prompt: (call.image_count, list(call.image_urls)) for call in server.record}
    one = next(call for call in server.record if call.image_count == 1)
    [two] = [call for call in server.record if call.image_count == 2]
    assert sorted((call.image_count, list(call.image_urls)) for call in server.record) == [
        (0, []),
        (0, [URL]),
        (1, []),
        (2, []),
    ]
    assert saw["What is a wick?"] == (0, [])
    assert two.image_sha256 is not None
    assert two.image_sha256.split(",")[1] == one.image_sha256  # their order is the question's


def test_rows_say_what_was_shown_and_formats_take_them(user: Stack) -> None:
    batch = four_kinds(user)
    rows = {row["custom_id"]: row for row in user.results(batch)}
    assert rows["text"]["image"] is None
    assert rows["url"]["image"] == URL
    assert [Path(path).name for path in rows["two"]["image"]] == ["chart-0001.png", "chart-0000.png"]
    assert (rows["text"]["sent"], rows["url"]["sent"]) == (None, None)
    assert rows["two"]["sent"][1] == rows["one"]["sent"]  # of several a list, in their order
    assert len(rows["two"]["sent"]) == 2
    table = user.run("results", batch, "--format", "csv").stdout
    cells = {row["custom_id"]: row["image"] for row in csv.DictReader(io.StringIO(table))}
    assert (cells["text"], cells["url"]) == ("", URL)
    assert len(json.loads(cells["two"])) == 2
    for suffix in ("html", "md", "parquet"):
        user.run("results", batch, "-o", f"report.{suffix}")
    page = (user.folder / "report.html").read_text()
    cards = [card.split("</article>")[0] for card in page.split("<article")[1:]]
    shown = {name: card for card in cards for name in rows if f">{name}<" in card}
    assert [shown[name].count("<img") for name in ("text", "one", "two", "url")] == [0, 1, 2, 0]
    assert "No picture" not in shown["text"]
    assert f"the provider fetched it from {URL}" in shown["url"]


def test_a_lost_second_picture_fails_the_job_without_a_call(user: Stack, server: Rehearsal) -> None:
    a, b = sorted(draw_charts(user.folder, 2).rglob("*.png"))
    write(user.folder / "r.jsonl", [request("two", asking("Which?", str(a), str(b)))])
    batch = user.run("submit", "r.jsonl", "-q").stdout.strip()
    b.write_bytes(a.read_bytes())
    user.run("worker", "--burst")
    [row] = user.results(batch)
    assert (row["status"], row["error"]["type"]) == ("failed", "ChartChangedError")
    assert b.name in row["error"]["message"]
    assert len(server.record) == 0
