"""Questions about another batch's answers: which picture goes along, and what is told when it is run again."""

from collections.abc import Iterable

import pytest
from support.producer import Producer
from support.request_lines import ask, body, request, write
from support.stack import draw_charts
from support.stores import STORES, new_store


def answered(user: Producer, *source: str) -> str:
    """A batch with an answer in every row."""
    batch_id = str(user.run("submit", *source, "--json").json()["batch_id"])
    user.answer(batch_id)
    return batch_id


def images(user: Producer, batch_id: str) -> Iterable[tuple[str, str | None]]:
    return [(row["custom_id"], row["image"]) for row in user.results(batch_id)]


def test_asked_again_it_tells_what_waits_and_what_has_an_answer(user: Producer) -> None:
    """As for charts: queued is what is still to be asked, whenever it was added."""
    source = user.submit(draw_charts(user.folder / "charts", 4))["batch_id"]
    user.answer(source)
    command = ("submit", "--from", source, "-p", "Bullish? {text}", "--json")
    first = user.run(*command).json()
    assert (first["total"], first["queued"], first["cached"]) == (4, 4, 0)
    assert user.run(*command).json() == first
    user.answer(first["batch_id"])
    again = user.run(*command).json()
    assert (again["batch_id"], again["total"], again["queued"], again["cached"]) == (first["batch_id"], 4, 0, 4)


@pytest.mark.parametrize("store", STORES)
def test_with_image_shows_the_chart_however_many_texts_lie_between(
    user: Producer, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setenv("RESULTS_URL", new_store(store, user.folder))
    draw_charts(user.folder / "charts", 3)
    charts = answered(user, "charts", "-p", "Up?")
    stages = [charts]
    for _ in range(2):
        stages.append(answered(user, "--from", stages[-1], "-p", "Shorter: {text}"))
    assert {image for _, image in images(user, stages[-1])} == {None}
    for stage in stages:
        shown = answered(user, "--from", stage, "-p", "Is that so? {text}", "--with-image")
        assert images(user, shown) == images(user, charts)
        assert all(image for _, image in images(user, shown))


def test_with_image_names_the_answers_that_have_none(user: Producer) -> None:
    draw_charts(user.folder, 1)
    text = body([{"role": "user", "content": "What is a wick?"}])
    lines = [request("text", text), request("chart", body(ask("Up?", "group-00/chart-0000.png")))]
    write(user.folder / "r.jsonl", lines)
    shown = user.run("submit", "--from", answered(user, "r.jsonl"), "-p", "{text}?", "--with-image", "--json").json()
    assert shown["total"] == 1
    assert [reject["path"] for reject in shown["rejected"]] == ["text"]
    assert "without --with-image" in shown["rejected"][0]["error"]
    write(user.folder / "r.jsonl", lines[:1])
    told = user.run("submit", "--from", answered(user, "r.jsonl"), "-p", "{text}?", "--with-image", expect=1)
    assert "no answer was accepted" in told.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["charts", "-p", "Up?", "--with-image"], "goes with --from"),
        (["--from", "b1", "charts", "-p", "Up?"], "--from and PATHs"),
        (["--from", "b1", "-p", "Up?", "--sample", "3"], "--sample is for folders"),
        (["--from", "b1", "-p", "Up?", "--max-side", "512"], "--max-side is for pictures"),
    ],
)
def test_what_contradicts_itself_is_wrong_usage(user: Producer, options: list[str], says: str) -> None:
    assert says in user.run("submit", *options, expect=2).stderr
    assert not (user.folder / "home" / "results.sqlite").exists()


def test_a_prompt_is_typed_or_in_a_file_and_not_both(user: Producer) -> None:
    draw_charts(user.folder / "charts", 1)
    (user.folder / "p.txt").write_text("{text}")
    source = answered(user, "charts", "-p", "Up?")
    said = user.run("submit", "--from", source, "-p", "{text}", "--prompt-file", "p.txt", expect=2).stderr
    assert "not both" in said
