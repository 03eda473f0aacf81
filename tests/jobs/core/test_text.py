"""Text from anybody: as JSON whose values stay the same, and as what people can look at."""

import json

import pytest

from jobs.core.text import dumps, one_line, visible

#: Break lines where JSON lines are read, or act unseen.
RAW = ["\x7f", "\x80", "\x85", "\x9b", "\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff"]


@pytest.mark.parametrize("character", RAW)
def test_in_json_nothing_breaks_lines_or_acts_and_the_value_stays(character: str) -> None:
    document = {"text": f"é {character} up", character: ["📈"]}
    line = dumps(document)
    assert character not in line
    assert len(line.splitlines()) == 1
    assert json.loads(line) == document
    assert "é" in line


def test_plain_text_is_written_as_it_is() -> None:
    assert dumps({"a": "up — 📈 é\n"}) == '{"a": "up — 📈 é\\n"}'
    assert json.loads(dumps({"name": "odd \udc80"})) == {"name": "odd \udc80"}


@pytest.mark.parametrize("character", [*RAW, "\x1b", "\x07", "\x00", "\r"])
def test_people_are_shown_what_a_terminal_would_obey(character: str) -> None:
    assert character not in visible(f"a{character}b")
    assert visible(f"a{character}b").startswith("a\\")


def test_a_line_is_a_line() -> None:
    assert one_line(" up\n\tor  down \x1b[31m") == "up or down \\x1b[31m"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
