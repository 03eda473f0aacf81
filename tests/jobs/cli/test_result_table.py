"""Results in a terminal: a table for people, a page at a time."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.producer import producer_in
from support.stack import draw_charts
from support.terminal import on_a_terminal

from jobs.cli.result_table import answer_words, print_results


def test_in_a_terminal_results_are_a_table_and_on_a_pipe_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with producer_in(tmp_path, monkeypatch) as user:
        batch_id = user.submit(draw_charts(tmp_path / "charts", 201))["batch_id"]
        user.answer(batch_id, text="up\x1b]52;c;aGk=\x07 surely")
        shown = on_a_terminal("jobs", "results", batch_id, folder=tmp_path, environment=os.environ)
        assert shown.count("surely") == 201
        assert shown.count("answer") == 1, "one head over all pages"
        assert "]52;c" in shown
        assert "\x1b]52" not in shown
        assert user.run("results", batch_id).stdout.count('{"job_id"') == 201


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "Up.\n", "error": None}, "Up."),
        ({"text": None, "error": {"type": "ImageError", "message": "damaged"}}, "ImageError: damaged"),
        ({"text": None, "error": None}, ""),
        (
            {"text": "{...}", "answer": {"trend": "up", "levels": [1, 2.5], "note": None, "rest": {"a": 1}}},
            "trend: up · levels: 1, 2.5 · rest: {'a': 1}",
        ),
        ({"text": "[1]", "answer": [1], "error": None}, "[1]"),
    ],
)
def test_an_answer_is_shown_in_words(row: dict[str, object], words: str) -> None:
    assert answer_words(row) == words


@pytest.mark.parametrize("worst", ["```\n", "\n", "- a\n", "a ", "x", "漢", "\t", "\x1b", "e\u0301", "\u200b"])
def test_a_megabyte_takes_no_time_and_it_says_how_to_see_all_of_it(
    worst: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "up" + worst * (1_000_000 // len(worst)) + "down"
    rows: list[dict[str, Any]] = [{"custom_id": text, "status": "finished", "text": text, "source_text": text}]
    rows.append({**rows[0], "answer": {text: text, "trend": text}})
    began = time.process_time()
    print_results(iter(rows))
    assert time.process_time() - began < 2
    said = capsys.readouterr().out
    assert said.count("jsonl)") >= 3
    assert len(said) < 1_000_000
