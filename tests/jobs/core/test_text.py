"""Text from anybody: as JSON whose values stay the same, and as what people can look at."""

import json

import pytest

from jobs.core.text import beginning, dumps, label, one_line, visible

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


@pytest.mark.parametrize("char", [*RAW, "\n", "\r", "\t", "\x1b", "\v"])
def test_a_name_is_one_line_and_what_it_holds_is_seen(char: str) -> None:
    assert label(f"a{char}b") == f"a{char.encode('unicode_escape').decode()}b"


def test_a_long_name_is_cut_and_one_as_long_as_a_models_may_be_is_whole() -> None:
    assert label("x" * 300) == "x" * 300
    assert label("x" * 301) == label("x" * 1_000_000) == "x" * 299 + "…"
    assert label("\n" * 300) == ("\\n" * 150)[:299] + "…"


def test_of_a_text_among_others_the_beginning_is_shown() -> None:
    assert beginning("a\n" * 39 + "b", " (more)") == "a\n" * 39 + "b"
    assert beginning("a\n" * 41, " (more)") == "a\n" * 39 + "a… (more)"
    assert beginning("x" * 4000) == "x" * 4000
    assert beginning("x" * 4001) == "x" * 4000 + "…"
    assert beginning("\x1b" * 4000) == "\\x1b" * 1000 + "…"
