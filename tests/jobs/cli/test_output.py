"""How commands speak: files whole or not at all, tables that harm nobody, text that is shown as it is."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from support.results import row

from jobs.cli.console import print_table
from jobs.cli.output import say
from jobs.core.text import dumps, visible
from jobs.formats.csv_table import _disarmed_line, csv_line, spreadsheet_cell, write_csv
from jobs.formats.files import data_file
from jobs.formats.json_lines import write_jsonl


def as_csv(*rows: dict[str, Any]) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    write_csv(rows, out)
    out.seek(0)
    return list(csv.DictReader(out))


def test_csv_is_the_same_without_raw() -> None:
    [read] = as_csv(row())
    assert {*read} == {*row(), "prompt_tokens", "completion_tokens"} - {"raw"}
    assert list(read)[:3] == ["custom_id", "status", "text"]
    assert (read["prompt_tokens"], read["completion_tokens"]) == ("600", "3")
    assert (read["text"], read["attempts"], read["error"], read["latency_s"]) == ("Up.", "1", "", "1.25")
    assert json.loads(read["usage"]) == {"prompt_tokens": 600, "completion_tokens": 3}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "=cmd|' /C calc'!A0"])
def test_what_a_spreadsheet_would_run_is_disarmed(text: str) -> None:
    [read] = as_csv(row(text=text, custom_id=text))
    assert read["text"] == read["custom_id"]
    assert read["text"][0] == "'"
    assert read["text"].replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("up;=HYPERLINK(1)", "up;'=HYPERLINK(1)"),
        ("up;;+1;-1;@x", "up;;'+1;'-1;'@x"),
        ("a\t=1", "a\t'=1"),
        ("a\n=1", "a\n'=1"),
        ("a\r\n-1+2", "a\r\n'-1+2"),
        ("trend:\n- up\n- high", "trend:\n- up\n- high"),
        ("up; 5 = 5, a-b; c", "up; 5 = 5, a-b; c"),
    ],
)
def test_no_cell_is_a_formula_where_cells_are_separated_otherwise(text: str, cell: str) -> None:
    assert as_csv(row(text=text))[0]["text"] == cell


@pytest.mark.parametrize("start", ["", "'", ";", ",", '"', "x;", "x\t", "x\n", "\n", "\r", "é", "\ud800"])
@pytest.mark.parametrize("formula", ["=1", "+1", "-1", "- 1", "@x", "＝1", "－1", "-A1,B", "=1,B", "up"])
def test_a_line_is_disarmed_as_each_of_its_cells_is(start: str, formula: str) -> None:
    for cells in (
        [start + formula, 1],
        [1, start + formula],
        [0.5, start + formula + start, None, True, {"a": formula}],
    ):
        assert _disarmed_line(csv_line, cells) == csv_line(map(spreadsheet_cell, cells))


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "a\nb", 'a "quoted" word', "a,b", "", "é 📈", "two\u2028lines"])
def test_any_text_comes_back_from_csv_as_it_was(text: str) -> None:
    first, second = as_csv(row(text=text), row(text="next"))
    assert (first["text"], second["text"]) == (text, "next")


def test_lines_of_csv_end_as_other_lines_do() -> None:
    out = io.StringIO(newline="")
    write_csv([row()], out)
    assert out.getvalue().count("\n") == 2
    assert "\r" not in out.getvalue()


def test_a_json_line_is_one_line_and_carries_odd_file_names() -> None:
    odd = os.fsdecode(b"/charts/\xff\nnew.png")
    out = io.StringIO()
    write_jsonl([row(image=odd, text="a\u2028b")], out)
    line = out.getvalue()
    line.encode()  # is UTF-8
    assert line.count("\n") == 1
    assert os.fsencode(json.loads(line)["image"]) == b"/charts/\xff\nnew.png"
    assert dumps({"é": "📈"}) == '{"é": "📈"}'


def test_a_file_appears_whole_with_the_modes_of_a_new_file(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".csv")
    with data_file(target) as out:
        out.write("new")
        assert not target.exists()
    assert target.read_text() == "new"
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "answers.csv"
    target.write_text("old")
    with suppress(KeyboardInterrupt), data_file(target) as out:
        out.write("half")
        out.flush()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]
    assert target.read_text() == "old"


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "answers.csv"
    target.write_text("old")
    code = (
        "import os, sys; from pathlib import Path; from jobs.formats.files import data_file\n"
        "with data_file(Path(sys.argv[1])) as out: out.write('half'); out.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, target]).returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with data_file(tmp_path / "link.csv") as out:
        out.write("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"

    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with data_file(tmp_path / "pipe") as out:
        out.write("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_what_is_said_is_shown_as_it_is() -> None:
    err = io.StringIO()
    with redirect_stderr(err):
        say("[red]x[/red] [/nothing] :cat: chat:cat:x " + "long " * 40)
    assert err.getvalue() == "[red]x[/red] [/nothing] :cat: chat:cat:x " + "long " * 40 + "\n"


def test_a_table_takes_no_text_for_markup_and_cuts_nothing_on_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    table = Table("name", title="[b]t[/b]", box=None)
    table.add_row("[/] :cat: " + "x" * 300)
    with redirect_stdout(out):
        print_table(table)
    assert "[/] :cat: " + "x" * 300 in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_control_characters_are_spelled_out() -> None:
    assert visible("a\x1b[31mb\x07\u202ec\ta\nd é📈\x9b") == "a\\x1b[31mb\\x07\\u202ec\ta\nd é📈\\x9b"
