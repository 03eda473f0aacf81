"""What the model is shown is what the question says, whatever worker sends it, and the row tells it."""

import pytest
from PIL import Image, ImageDraw
from support.request_lines import ask, body, request, write
from support.stack import Stack

from worker.rehearsal import Rehearsal


@pytest.fixture
def user(user: Stack) -> Stack:
    (user.folder / "two").mkdir()
    for number, size in enumerate([(2560, 1440), (640, 400)]):
        image = Image.new("RGB", size, "white")
        ImageDraw.Draw(image).line([(0, number), size], fill="black", width=3)
        image.save(user.folder / "two" / f"chart-{number}.png")
    return user


def sizes_of(user: Stack, batch_id: str) -> list[tuple[int, int]]:
    return sorted((row["sent"]["width"], row["sent"]["height"]) for row in user.results(batch_id))


def test_other_limits_ask_another_question(user: Stack, server: Rehearsal) -> None:
    first = user.run("run", "two", "-p", "Up?", "--json", IMAGE_MAX_SIDE="256").json()["batch_id"]
    again = user.run("submit", "two", "-p", "Up?", "--json", IMAGE_MAX_SIDE="2048").json()
    assert (again["queued"], again["cached"], again["shrunk"]) == (2, 0, 1)
    user.run("worker", "--burst", IMAGE_MAX_SIDE="100")  # a worker's own value doesn't matter
    assert sizes_of(user, first) == [(256, 144), (256, 160)]
    assert sizes_of(user, again["batch_id"]) == [(640, 400), (2048, 1152)]
    seen = sorted(call.image_size for call in server.record if call.image_size)
    assert seen == [(256, 144), (256, 160), (640, 400), (2048, 1152)]
    assert user.run("submit", "two", "-p", "Up?", "--max-side", "256", "--json").json()["cached"] == 2


def test_the_plan_says_how_many_are_shrunk_and_how_far(user: Stack) -> None:
    said = user.run("submit", "two", "-p", "Up?", "--dry-run").stdout
    assert "1 of 2 charts are larger than 2048 px; the smallest goes out at 80%" in said
    assert "larger than" not in user.run("submit", "two", "-p", "Up?", "--dry-run", "--max-side", "4096").stdout


def test_each_request_of_a_file_is_measured_by_its_own_questions_limits(user: Stack) -> None:
    text, chart = body([{"role": "user", "content": "What is a wick?"}]), body(ask("Up?", "two/chart-0.png"))
    write(user.folder / "r.jsonl", [request("text", text), request("chart", chart)])
    assert user.run("submit", "r.jsonl", "--json", IMAGE_MAX_SIDE="2560").json()["shrunk"] == 0
    assert user.run("submit", "r.jsonl", "--json", IMAGE_MAX_SIDE="2559").json()["shrunk"] == 1
