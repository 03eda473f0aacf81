"""The live panel: everything on it can be read at any width, nothing in it can take over the terminal."""

import dataclasses
import io
import logging
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest
from rich.cells import cell_len
from rich.console import Console
from support.gates import gate
from support.producer import Producer
from support.stack import draw_charts
from support.stores import finished, id_of, start, submit

from jobs.batches.shapes import BatchDocument, CountsDocument
from jobs.cli.panel import panel, shares
from jobs.cli.watching import Pace, watched
from jobs.core.rates import Window
from jobs.lanes import Gate
from jobs.ledger import CallsMade, Failed, Ledger, ResultRow, Returned

NOW = 1_800_000_000.0
WIDTHS = (60, 80, 120, 200)

GATE = gate(in_flight=6, now_s=NOW)
BUDGET = dataclasses.replace(GATE, windows=(Window(calls=100, window_ms=3_600_000),), spent=(58,))


COUNTS = CountsDocument(total=1000, finished=41, failed=2, canceled=0, started=6, scheduled=3, queued=948)


def document(**changes: Any) -> BatchDocument:
    made = {
        "batch_id": "b261122-k3x9qa",
        "name": "my charts",
        "model": "org/model",
        "status": "in_progress",
        "request_counts": COUNTS,
        "hold": None,
        "resume_at": None,
        "eta_s": 1800.0,
        "usage": {"prompt_tokens": 1234567, "completion_tokens": 8910},
        "created_at": "2027-01-15T08:00:00.000Z",
        "finished_at": None,
        **changes,
    }
    return cast(BatchDocument, made)


def row(custom_id: str = "folder/chart-1.png", text: str | None = "It goes up.", **changes: Any) -> ResultRow:
    values: dict[str, Any] = {
        **dict.fromkeys(ResultRow._fields),
        "custom_id": custom_id,
        "status": "finished",
        "text": text,
    }
    return ResultRow(**{**values, **changes})


def failure(message: str = "it is damaged") -> ResultRow:
    return row("broken.png", None, status="failed", error_type="ImageError", error_message=message)


def render(picture: Any, width: int = 80) -> str:
    console = Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, markup=False, emoji=False, highlight=False
    )
    console.print(picture)
    return console.export_text()


def shown(
    about: BatchDocument | None = None,
    gates: Sequence[Gate] = (GATE,),
    latest: Sequence[ResultRow] = (),
    *,
    width: int = 80,
    **more: Any,
) -> str:
    """The panel's words, lines joined, without its frame."""
    text = render(panel(about or document(), gates, latest, now=NOW, **more), width)
    assert all(cell_len(line) == width for line in text.splitlines())
    return re.sub(r"[\s│]+", " ", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_all_facts_are_there_at_any_width(width: int) -> None:
    said = shown(
        gates=[BUDGET],
        latest=[row(), failure()],
        width=width,
        a_minute=12.0,
        calls=CallsMade(attempts=48, refused=1234),
    )
    for fact in (
        "b261122-k3x9qa",
        "my charts · org/model",
        "41 finished · 2 failed · 6 started · 3 scheduled · 948 queued of 1,000",
        "calling",
        "12 charts a minute · about 30 min to go, until",
        "42 of 100 calls left in 60 min · 6 in flight",
        "1,234,567 in, 8,910 out",
        "48 attempts · 1,234 refused as too many",
        "✓ folder/chart-1.png It goes up.",
        "✗ broken.png ImageError:",
    ):
        assert fact in said
    assert "…" not in said or width == 60


@pytest.mark.parametrize("width", WIDTHS)
def test_why_nothing_is_called_is_never_cut(width: int) -> None:
    message = "the token is refused: " + "look at the settings of your token and try again " * 5 + "END"
    hold = {"reason": "token", "message": message, "since": None}
    said = shown(document(status="on_hold", hold=hold), [dataclasses.replace(GATE, reason="token")], width=width)
    assert f"on hold (token): {message}, then: chartq resume b261122-k3x9qa" in said
    said = shown(document(status="on_hold", hold={**hold, "message": "Look, then: chartq resume"}), width=width)
    assert said.count("chartq resume") == 1


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({}, "now calling"),
        ({"until_s": NOW + 42, "why": "throttled"}, ", in 42 s: the provider has had too many calls"),
        ({"until_s": NOW + 42, "why": "outage"}, ", in 42 s: the provider answers badly"),
        ({"until_s": NOW + 42, "why": "a new word"}, ", in 42 s: a new word"),
        ({"budget_wait_s": 600.0}, ", in 10 min: the budget is used up"),
        ({"budget_wait_s": 0.4}, "now calling"),  # a budget's normal pace
        ({"probing": True}, "one call goes first"),
        ({"probing": True, "until_s": NOW + 42, "why": "loading"}, ", in 42 s: the model is being loaded"),
        ({"live": False}, "no worker is running; start one: chartq worker"),
    ],
)
def test_it_says_what_happens_now(gate: dict[str, Any], expected: str) -> None:
    assert expected in shown(gates=[dataclasses.replace(GATE, **gate)])


def test_of_several_accounts_the_first_that_may_call_is_told() -> None:
    later = dataclasses.replace(GATE, until_s=NOW + 900, why="throttled")
    soon = dataclasses.replace(GATE, until_s=NOW + 5, why="loading")
    held = dataclasses.replace(GATE, reason="credits")
    assert ", in 5 s: the model is being loaded" in shown(gates=[later, held, soon])


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (GATE, "no budget · 6 in flight"),
        (dataclasses.replace(GATE, limit=8, ceiling=16), "no budget · 6 in flight, at most 8"),
        (dataclasses.replace(GATE, limit=1, ceiling=16), "no budget · 6 in flight, from now on at most 1"),
        (dataclasses.replace(BUDGET, spent=(130,)), "0 of 100 calls left in 60 min"),
        (dataclasses.replace(GATE, live=False), "not known before a worker runs"),
    ],
)
def test_it_says_what_limits_the_pace(gate: Gate, expected: str) -> None:
    assert expected in shown(gates=[gate])


def test_what_has_ended_has_no_pace_and_no_limit() -> None:
    said = shown(document(status="completed", eta_s=None, finished_at="2027-01-15T08:02:30.000Z"), [])
    assert "completed, 2 min after its submit" in said
    assert "pace" not in said
    assert "limit" not in said


def test_an_empty_batch_is_no_trouble() -> None:
    counts = dict.fromkeys(COUNTS, 0)
    assert "nothing yet of 0" in shown(document(request_counts=counts, name=None, eta_s=None), [])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "hostile", ["[red]x[/red] [/] :smile:", "\x1b[2J\x1b]0;title\x07", "a\nb\r\x9bc\u202ed", "漢" * 900]
)
def test_names_and_answers_are_only_text(hostile: str, width: int) -> None:
    rows = [row(hostile, hostile), failure(hostile)]
    about = document(name=hostile, model=hostile)
    picture = panel(about, [GATE], rows, now=NOW)
    text = render(picture, width)
    assert all(cell_len(line) == width for line in text.splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    if hostile.startswith("["):
        assert text.count("[red]x[/red] [/] :smile:") >= 3


@pytest.mark.parametrize("worst", ["\n", "a ", "x", "漢", "\x1b", "\u0301"])
def test_a_megabyte_takes_no_time(worst: str) -> None:
    text = "up" + worst * (1_000_000 // len(worst))
    hold = {"reason": "auth", "message": text, "since": None}
    began = time.process_time()
    shown(document(name=text, model=text, status="on_hold", hold=hold), latest=[row(text, text), failure(text)])
    assert time.process_time() - began < 2


def test_of_a_long_name_the_end_is_shown() -> None:
    said = shown(latest=[row("very/deep/folders/of/many/traders/2026/11/chart-0815.png")])
    assert "…y/traders/2026/11/chart-0815.png"[-20:] in said
    assert "very/deep" not in said


@pytest.mark.parametrize(
    ("counts", "cells", "expected"),
    [
        ([1, 1], 10, [5, 5]),
        ([0, 0], 10, [0, 0]),
        ([100_000, 1, 0, 1], 10, [8, 1, 0, 1]),  # the few are seen
        ([1, 0, 2], 9, [3, 0, 6]),
    ],
)
def test_the_bar_is_shared_in_proportion(counts: list[int], cells: int, expected: list[int]) -> None:
    assert shares(counts, cells) == expected


def test_the_pace_is_that_of_the_last_minute() -> None:
    pace = Pace()

    def see(finished: int, at_s: float) -> float | None:
        return pace.see(document(request_counts={**COUNTS, "finished": finished}), at_s)

    assert see(100, 0) is None  # what was there before says nothing
    assert see(101, 1) is None
    assert see(110, 10) == 60
    assert see(110, 60) == 10
    assert see(115, 100) == 7.5  # since 60 s, which is the oldest of the last minute
    assert see(0, 101) == 0  # a retry takes failures back


# What it reads, and where it is shown


def test_the_newest_rows_of_a_batch_come_first(ledger: Ledger) -> None:
    batch = submit(ledger, "abcdex", now=1)
    submit(ledger, "z", now=1)
    for at, chart in enumerate("cazdb"):
        start(ledger, chart, now=2)
        ledger.record([finished(chart, f"answer {chart}")], 10 + at)
    start(ledger, "e", now=2)
    ledger.record([Failed(job_id=id_of("e"), execution_id="e", error_type="ImageError", message="broken")], 20)
    newest = ledger.latest(batch, 3)
    assert [(row.custom_id, row.text) for row in newest] == [(f"{c}.png", f"answer {c}") for c in "bda"]
    [failed] = ledger.latest(batch, 3, status="failed")
    assert (failed.custom_id, failed.error and failed.error.message) == ("e.png", "broken")
    assert ledger.latest(batch, 3, status="canceled") == []


def test_calls_are_summed_over_the_batch(ledger: Ledger) -> None:
    batch = submit(ledger, "abc", now=1)
    assert ledger.calls(batch) == CallsMade()
    for chart in "aab":
        start(ledger, chart, now=2)
        ledger.record([Returned(job_id=id_of(chart), execution_id="e", throttled=1)], 3)
    start(ledger, "c", now=2)
    ledger.record([finished("c")], 4)
    assert ledger.calls(batch) == CallsMade(attempts=1, refused=3)


def watch(user: Producer, batch_id: str, console: Console) -> str:
    with user.session() as session, watched(session, console) as watching:
        watching.line("3 charts submitted")
        watching.show(session.document(batch_id))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_the_panel_with_the_newest_answers(user: Producer) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 3))["batch_id"]
    user.answer(batch_id, text="It goes [bold]up[/bold].")
    drawn = watch(user, batch_id, Console(file=io.StringIO(), force_terminal=True, width=80))
    assert "3 charts submitted" in drawn
    assert "It goes [bold]up[/bold]." in drawn
    assert "╰" in drawn


def two_stages(user: Producer) -> tuple[BatchDocument, BatchDocument]:
    """The documents of a batch that is half answered, and of the one about its answers."""
    charts = draw_charts(user.folder / "charts", 4)
    first = user.submit(charts, "--sample", "2", "--name", "describe")["batch_id"]
    user.answer(first, text="It goes up.")
    user.submit(charts, "--name", "describe")
    asked = ("submit", "--from", first, "-p", "Sum up: {text}", "-m", "org/text", "--name", "conclude", "--json")
    second = user.run(*asked).json()["batch_id"]
    with user.session() as session:
        return session.document(first), session.document(second)


def test_both_stages_of_a_run_are_seen_at_once_and_fit_a_small_terminal(user: Producer) -> None:
    first, second = two_stages(user)
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, no_color=True)
    with user.session() as session, watched(session, console) as watching:
        watching.show(first)
        watching.show(first, second)
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().rpartition(f"╭─ {first['batch_id']}")[2]
    for words in ("describe", "2 finished", "2 queued", second["batch_id"], "conclude · org/text", "of 2"):
        assert words in last
    assert last.count("╰") == 2
    assert last.count("\n") < 24


def test_both_stages_of_a_run_have_a_line_on_a_pipe(user: Producer) -> None:
    first, second = two_stages(user)
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    with user.session() as session, watched(session, console) as watching:
        watching.show(first, second)
    assert isinstance(console.file, io.StringIO)
    assert [line.split()[0] for line in console.file.getvalue().splitlines()] == [first["batch_id"], second["batch_id"]]


def test_a_terminal_that_wants_nothing_fancy_gets_a_line(user: Producer) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 3))["batch_id"]
    with user.session() as session:
        console = Console(file=io.StringIO(), force_terminal=False)
        with watched(session, console) as watching:
            watching.show(session.document(batch_id))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"{batch_id} in_progress: 3 queued of 3\n"


def test_log_lines_stay_above_the_panel(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    batch_id = user.submit(draw_charts(user.folder / "charts", 1))["batch_id"]
    console = Console(file=terminal, force_terminal=True, width=80)
    with user.session() as session, watched(session, console) as watching:
        watching.show(session.document(batch_id))
        logging.getLogger("worker").warning("a warning")
    assert handler.stream is terminal
    assert terminal.getvalue().rindex("╰") > terminal.getvalue().index("a warning")
