"""What results are written as: every format is read back by somebody else's reader, and takes any row."""

import csv
import json
import os
import stat
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from markdown_it import MarkdownIt
from openai.types.chat import ChatCompletion
from support.results import COMPLETION, context, row

from jobs.core.errors import InputError, InstallationError
from jobs.core.job import Question
from jobs.formats import FORMATS, Row, format_of
from jobs.formats.compare import COMPARISONS, comparison_format_of, write_comparison
from jobs.formats.pairs import agree, compare_rows
from jobs.formats.rows import fields_of
from jobs.formats.sidecars import parts, write_sidecars
from jobs.formats.word_diff import pieces

ODD = (
    "pipe | star * _under_ `tick` \\ back [link](http://x) ![pic](http://x/y.png) <b>&amp;</b> #1 $x$ ~~no~~",
    "line one\nline two\r\nline three",
    "=1+1",
    "\x00\x1b[2J\x7f \ud800 \u202egnp.exe 🚀 مرحبا",
    "",
)


def unanswered(number: int, status: str = "failed", *, code: int | None = 422, **changes: Any) -> Row:
    error = {"type": "bad_request", "message": "too large", "status_code": code} if status == "failed" else None
    ended = {"finished_at": None, "request_id": None} if status in ("queued", "started", "scheduled") else {}
    answer = {"text": None, "raw": None, "usage": None, "latency_s": None, "provider": None, "rehearsal": None}
    return row(number, **{**answer, **ended, "status": status, "error": error, **changes})


def odd_rows() -> list[Row]:
    rows = [row(number, custom_id=text, text=text, provider=text, raw=[text]) for number, text in enumerate(ODD)]
    rows += [unanswered(10, "failed"), unanswered(11, "canceled"), unanswered(12, "queued")]
    rows += [unanswered(13 + n, error={"type": t, "message": t, "status_code": None}) for n, t in enumerate(ODD)]
    return rows


def written(name: str, rows: Iterable[Row], path: Path) -> Path:
    FORMATS[name].write(rows, path, context())
    return path


def table(text: str) -> list[list[str]]:
    """A Markdown table as a Markdown parser sees it: what each cell shows."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    rows: list[list[str]] = []
    for token, inline in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            shown = [
                "\n" if child.content == "<br>" else child.content
                for child in inline.children or []
                if child.type in ("text", "html_inline", "text_special")
            ]
            assert {child.type for child in inline.children or []} <= {"text", "html_inline", "text_special"}
            rows[-1].append("".join(shown))
    return rows


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_takes_any_row_and_writes_the_file_whole(name: str, tmp_path: Path) -> None:
    files = FORMATS[name].write(iter(odd_rows()), tmp_path / "out.file", context())
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask() for file in files)

    def dying() -> Iterator[Row]:
        yield row(1)
        raise RuntimeError("half-way")

    before = {file: file.read_bytes() for file in files}
    with pytest.raises(RuntimeError, match="half-way"):
        FORMATS[name].write(dying(), tmp_path / "out.file", context())
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet", "openai"}))
def test_text_goes_to_stdout_without_a_file(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert FORMATS[name].write(odd_rows(), None, context()) == []
    sys.stdout.flush()
    assert capfdbinary.readouterr().out.decode("utf-8")


@pytest.mark.parametrize("name", ["parquet", "openai"])
def test_what_is_no_text_asks_for_a_file(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*add -o"):
        FORMATS[name].write([], None, context())


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_memory_does_not_grow_with_the_batch(name: str, tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[Row]:
        return (row(n, text="word " * 100, raw={"pad": "x" * 3_000}) for n in range(count))

    def peak_of(count: int) -> int:
        tracemalloc.start()
        try:
            FORMATS[name].write(rows(count), tmp_path / "out", context())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(10)  # what is loaded once
    few, many = (4_000, 8_000) if name == "parquet" else (300, 1_800)
    assert peak_of(many) < 1.5 * peak_of(few) + 3_000_000


def test_a_file_name_tells_the_format() -> None:
    told = {
        "a.JSONL": "jsonl",
        "a.csv": "csv",
        "a.md": "markdown",
        "a.parquet": "parquet",
        "a.b.html": "html",
        "a": None,
    }
    assert {name: format_of(Path(name)) for name in told} == told
    assert {one.name for one in FORMATS.values()} == set(FORMATS)


def test_markdown_cells_show_what_they_hold_and_nothing_else(tmp_path: Path) -> None:
    rows = odd_rows()
    shown = table(written("markdown", rows, tmp_path / "out.md").read_text("utf-8"))
    assert shown[0] == ["chart", "status", "answer", "tokens", "seconds"]
    assert len(shown) == len(rows) + 1
    assert shown[1] == [ODD[0], "finished", ODD[0], "603", "1.2"]
    assert shown[2][2] == "line one\nline two\nline three"
    assert shown[6][2] == "bad_request: too large"


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    parquet = (
        pytest.importorskip("pyarrow.parquet") if not os.environ.get("CI") else __import__("pyarrow.parquet").parquet
    )
    rows = [*odd_rows(), *(row(n) for n in range(4_500))]
    path = written("parquet", rows, tmp_path / "out.parquet")
    read = parquet.read_table(path)
    assert parquet.ParquetFile(path).metadata.num_row_groups == 3
    assert {name: str(read.schema.field(name).type) for name in ("prompt_tokens", "latency_s", "finished_at")} == {
        "prompt_tokens": "int64",
        "latency_s": "double",
        "finished_at": "timestamp[ms, tz=UTC]",
    }
    back = read.to_pylist()
    assert [one["custom_id"] for one in back[:3]] == list(ODD[:3])
    assert back[5]["error_status_code"] == 422
    assert back[7]["finished_at"] is None
    assert json.loads(back[-1]["raw"]) == COMPLETION
    assert (back[-1]["prompt_tokens"], back[-1]["completion_tokens"]) == (600, 3)


STRUCTURED = Question(
    prompt="Read it.",
    model="org/model",
    parameters={
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "x",
                "schema": {
                    "type": "object",
                    "properties": {
                        "z trend": {"enum": ["=up", "down"]},
                        "levels": {"type": "array", "items": {"type": "number"}},
                        "count": {"type": ["integer", "null"]},
                        "drawn": {"type": "boolean"},
                        "more": {"type": "object"},
                    },
                },
            },
        }
    },
)


def structured_rows() -> list[Row]:
    """As `results` has them: an answer, two whose fields are null, missing or of other types, an error, prose."""
    answers: list[Any] = [
        {"z trend": "=up", "levels": [-1, 2.5], "count": 3.0, "drawn": True, "more": {"é": ["|"]}},
        {"count": None, "levels": [], "extra": 1},
        {"z trend": 5, "levels": "none", "count": 2**70, "drawn": 1, "more": [1, "a"]},
    ]
    rows = [row(n, text=json.dumps(answer), answer=answer) for n, answer in enumerate(answers)]
    return [*rows, unanswered(3, "failed", answer=None), row(4, text="prose of long ago", answer=None)]


def structured(name: str, path: Path) -> Path:
    FORMATS[name].write(structured_rows(), path, context(STRUCTURED))
    return path


def test_fields_of_structured_answers_are_csv_columns_beside_the_text(tmp_path: Path) -> None:
    with structured("csv", tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    with written("csv", [row(1)], tmp_path / "plain.csv").open(newline="") as file:
        plain = next(csv.reader(file))
    named = ["answer_z trend", "answer_levels", "answer_count", "answer_drawn", "answer_more"]
    assert head == [*plain[:3], *named, *plain[3:]]
    assert [line[3:8] for line in lines] == [
        ["'=up", "[-1, 2.5]", "3.0", "true", '{"é": ["|"]}'],
        ["", "[]", "", "", ""],
        ["5", "none", str(2**70), "1", '[1, "a"]'],
        [""] * 5,
        [""] * 5,
    ]


def test_fields_of_structured_answers_are_markdown_columns(tmp_path: Path) -> None:
    shown = table(structured("markdown", tmp_path / "out.md").read_text("utf-8"))
    assert shown[0] == ["chart", "status", "z trend", "levels", "count", "drawn", "more", "tokens", "seconds"]
    assert shown[1][2:7] == ["=up", "-1; 2.5", "3.0", "true", '{"é": ["|"]}']
    assert shown[4][2:7] == ["bad_request: too large", "", "", "", ""]
    assert shown[5][2] == "prose of long ago"
    assert {len(cells) for cells in shown} == {9}


def test_fields_of_structured_answers_are_typed_parquet_columns(tmp_path: Path) -> None:
    parquet = (
        pytest.importorskip("pyarrow.parquet") if not os.environ.get("CI") else __import__("pyarrow.parquet").parquet
    )
    read = parquet.read_table(structured("parquet", tmp_path / "out.parquet"))
    names = [name for name in read.schema.names if name.startswith("answer_")]
    assert {name: str(read.schema.field(name).type) for name in names} == {
        "answer_z trend": "string",
        "answer_levels": "list<element: double>",
        "answer_count": "int64",
        "answer_drawn": "bool",
        "answer_more": "string",
    }
    assert [tuple(one[name] for name in names) for one in read.to_pylist()] == [
        ("=up", [-1.0, 2.5], 3, True, '{"é": ["|"]}'),
        (None, [], None, None, None),
        (None, None, None, None, '[1, "a"]'),
        (None,) * 5,
        (None,) * 5,
    ]


@pytest.mark.parametrize("form", sorted(COMPARISONS))
def test_structured_answers_are_compared(form: str, tmp_path: Path) -> None:
    changed = [
        {**one, "text": '{"count": 1}', "answer": {"count": 1}} if n == 1 else one
        for n, one in enumerate(structured_rows())
    ]
    sides = context(STRUCTURED, "one"), context(STRUCTURED, "two")
    counts = write_comparison(structured_rows(), changed, *sides, tmp_path / "out", form)
    assert counts == {"same": 3, "differ": 1, "none": 1}


def test_without_pyarrow_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InstallationError, match=r"pip install 'chartq\[parquet\]'"):
        written("parquet", [], tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "raw",
    [
        COMPLETION,
        {**COMPLETION, "provider_extra": {"x": 1}, "usage": None},
        {"choices": [{"message": {"content": "Up."}}]},
        {"choices": [{"message": {"content": "Up.", "role": None}, "finish_reason": None}], "id": None, "object": ""},
        {"choices": [], "error": None},
        {"choices": "none"},
        {"choices": [{"message": {"content": None, "reasoning": "Up."}, "finish_reason": "eos_token"}]},
        {"choices": [{"message": {"content": " ", "reasoning_content": "Up."}, "finish_reason": {"type": "stop"}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "Up."}]}, "finish_reason": 1}]},
        {"choices": [{"message": {"content": ""}}, {"message": {"content": "Up."}}]},
        {**COMPLETION, "id": 7, "created": 1.5, "model": None},
        {**COMPLETION, "usage": [1, 2]},
        {**COMPLETION, "usage": {"prompt_tokens": "10", "completion_tokens": None}},
        [{"generated_text": "Up."}],
        None,
    ],
)
def test_openai_bodies_are_chat_completions(raw: Any, tmp_path: Path) -> None:
    path = written("openai", [row(1, raw=raw)], tmp_path / "out.jsonl")
    (line,) = map(json.loads, path.read_text().splitlines())
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["error"] is None
    assert line["custom_id"] == "fx/chart-1.png"
    assert (line["response"]["status_code"], line["response"]["request_id"]) == (200, "req-1")
    body = ChatCompletion.model_validate(line["response"]["body"])
    assert body.choices[0].message.content == "Up."
    if raw == COMPLETION:
        assert line["response"]["body"] == COMPLETION


@pytest.mark.parametrize(
    ("told", "choice", "reason"),
    [
        ("length", {"message": {"content": "Up."}, "finish_reason": "stop"}, "length"),  # native_finish_reason said so
        ("MAX_TOKENS", {"message": {"content": "Up."}, "finish_reason": "MAX_TOKENS"}, "length"),
        ("length", {"text": "Up.", "finish_reason": "length"}, "length"),
        ("tool_calls", {"message": {"content": "Up."}, "finish_reason": "tool_calls"}, "tool_calls"),
        ("eos", {"message": {"content": "Up."}, "finish_reason": "eos"}, "stop"),
        (None, {"message": {"content": "Up."}, "finish_reason": None}, "stop"),
    ],
)
def test_openai_bodies_say_why_an_answer_ended(told: str | None, choice: Any, reason: str, tmp_path: Path) -> None:
    shown = {**row(1, raw={"choices": [choice]}), "finish_reason": told}
    path = written("openai", [shown], tmp_path / "out.jsonl")
    body = ChatCompletion.model_validate(json.loads(path.read_text())["response"]["body"])
    assert body.choices[0].finish_reason == reason


def test_openai_puts_failures_into_a_file_of_their_own(tmp_path: Path) -> None:
    rows = [row(1), unanswered(2), unanswered(3, code=None), unanswered(4, "canceled"), unanswered(5, "queued")]
    written("openai", rows, tmp_path / "out.jsonl")
    answered = (tmp_path / "out.jsonl").read_text().splitlines()
    errors = [json.loads(line) for line in (tmp_path / "out.errors.jsonl").read_text().splitlines()]
    assert [json.loads(line)["custom_id"] for line in answered] == ["fx/chart-1.png"]
    assert [line["custom_id"] for line in errors] == [f"fx/chart-{n}.png" for n in (2, 3, 4)]
    assert errors[0]["response"]["status_code"] == 422
    assert errors[0]["response"]["body"]["error"]["message"] == "too large"
    assert errors[0]["error"] is None
    assert errors[1]["response"] is None
    assert errors[1]["error"] == {"code": "bad_request", "message": "too large"}
    assert errors[2]["error"]["code"] == "batch_cancelled"


def test_sidecars_mirror_the_charts_tree(tmp_path: Path) -> None:
    rows = [row(1), row(2, custom_id="top.png"), unanswered(3), unanswered(4, "queued")]
    assert write_sidecars(rows, tmp_path / "out") == 3
    assert tree(tmp_path / "out") == [
        "fx/chart-1.png.json",
        "fx/chart-1.png.txt",
        "fx/chart-3.png.json",
        "top.png.json",
        "top.png.txt",
    ]
    assert (tmp_path / "out/fx/chart-1.png.txt").read_text() == "Up.\n"
    assert json.loads((tmp_path / "out/fx/chart-3.png.json").read_text()) == rows[2]


@pytest.mark.parametrize(
    "custom_id",
    [
        "../../escape.png",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "a/",
        ".",
        "..",
        "",
        "C:\\x\\..\\y",
        "nul\x00 tab\t line\n",
        "%2E%2E/x",
        "n" * 300 + ".png",
        "é" * 200,
        "deep/" * 40 + "x",
        "\ud800.png",
    ],
)
def test_no_custom_id_leads_out_of_the_folder(custom_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "out"
    assert write_sidecars([row(1, custom_id=custom_id)], folder) == 1
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert outside == []
    names = tree(folder)
    assert len(names) == 2
    assert not any(part in (".", "..", "") for name in names for part in name.split("/"))


def test_different_ids_become_different_names() -> None:
    ids = (
        "a/b",
        "a//b",
        "/a/b",
        "a/b/",
        "a%2Fb",
        "..",
        "%2E%2E",
        "a\nb",
        "a%0Ab",
        "n" * 300,
        "n" * 301,
        "a/./b",
        "a/../b",
        "con",
        "%63%6F%6E",
        "a.",
        "a%2E",
        "a ",
        "\u202e",
        "%E2%80%AE",
        "\ud800",
    )
    assert len({tuple(parts(one)) for one in ids}) == len(ids)


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "fx").symlink_to(elsewhere)
    with pytest.raises(InputError, match="'fx' can't be written"):
        write_sidecars([row(1)], folder)
    (elsewhere / "kept").write_text("kept")
    (folder / "top.png.txt").symlink_to(elsewhere / "kept")
    write_sidecars([row(1, custom_id="top.png")], folder)
    assert (elsewhere / "kept").read_text() == "kept"
    assert (folder / "top.png.txt").read_text() == "Up.\n"
    assert tree(elsewhere) == ["kept"]


def test_sidecars_keep_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    write_sidecars((row(n, custom_id=f"{n % 7}/{n % 5}/{n}.png") for n in range(200)), tmp_path / "out")
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after == before


def test_rows_are_paired_by_custom_id_whatever_their_order() -> None:
    a = [row(1, text="Up."), row(2, text="Same  Words"), row(3), row(7), row(7, text="second")]
    b = [row(4), unanswered(3), row(2, text="same words"), row(1, text="Down."), row(7), row(7, text="second")]
    with compare_rows(iter(a), iter(b)) as pairs:
        found = [(pair.custom_id, pair.outcome, bool(pair.a), bool(pair.b)) for pair in pairs]
        assert pairs.counts == {"differ": 1, "same": 3, "one": 2}
    assert found == [
        ("fx/chart-1.png", "differ", True, True),
        ("fx/chart-2.png", "same", True, True),
        ("fx/chart-3.png", "one", True, True),
        ("fx/chart-7.png", "same", True, True),
        ("fx/chart-7.png", "same", True, True),
        ("fx/chart-4.png", "one", False, True),
    ]


@pytest.mark.parametrize("form", sorted(COMPARISONS))
def test_every_comparison_takes_any_row(form: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    other = Question(prompt="?", model="org/<other>|")
    counts = write_comparison(odd_rows(), odd_rows()[3:], context(), context(other), path, form)
    assert sum(counts.values()) == len(odd_rows())
    text = path.read_text("utf-8")
    if form == "csv":
        read = list(csv.DictReader(StringIO(text)))
        assert [one["outcome"] for one in read][:4] == ["one", "one", "one", "same"]
        assert read[2]["a_text"] == "'=1+1"
    elif form == "markdown":
        shown = table(text)
        assert shown[0] == ["chart", "", "A: org/model", "B: org/<other>|"]
        assert len(shown) == len(odd_rows()) + 1
    elif form == "jsonl":
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines[0]["a"]["text"] == ODD[0]
        assert lines[0]["b"] is None


def test_batches_are_called_by_what_sets_them_apart(tmp_path: Path) -> None:
    again = Question(prompt="Again?", model="org/model")
    write_comparison([], [], context(name="first"), context(again, name="second"), tmp_path / "out.md", "markdown")
    assert table((tmp_path / "out.md").read_text())[0][2:] == ["A: first", "B: second"]
    assert comparison_format_of(Path("x.HTML")) == "html"
    assert comparison_format_of(Path("x")) is None
    with pytest.raises(InputError, match=r"\.parquet files, but \.html"):
        comparison_format_of(Path("x.parquet"))


def test_answers_agree_when_they_say_the_same() -> None:
    assert agree("**Up.**\n", "up.")
    assert agree('{"a": 1, "b": [2]}', '```json\n{"b": [2], "a": 1}\n```')
    assert not agree('{"a": 1}', '{"a": 2}')
    assert not agree("Up.", "Down.")


def test_differences_are_marked_and_lose_no_character() -> None:
    a, b = "The trend is up,  to 44.90.", "The trend is down, to 44.90."
    a_pieces, b_pieces = pieces(a, b)
    assert [text for text, differs in a_pieces if differs] == ["up"]
    assert [text for text, differs in b_pieces if differs] == ["down"]
    for text, cut in ((a, a_pieces), (b, b_pieces)):
        assert "".join(piece for piece, _ in cut) == text
    assert pieces("x " * 10_000, "y " * 10_000) == ([("x " * 10_000, False)], [("y " * 10_000, False)])


def test_structured_answers_are_recognised() -> None:
    assert fields_of('```json\n{"trend": "up"}\n```') == {"trend": "up"}
    assert fields_of("{not json}") is None
    assert fields_of("[1]") is None
    assert fields_of('{"a": ' * 5_000) is None


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_was_private_stays_private(tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.touch(mode=0o600)
    written("csv", [row(1)], kept)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    sidecar = tmp_path / "top.png.json"
    sidecar.touch(mode=0o600)
    write_sidecars([row(1, custom_id="top.png")], tmp_path)
    assert stat.S_IMODE(sidecar.stat().st_mode) == 0o600
    assert sidecar.stat().st_size > 0


def test_sidecars_keep_apart_what_some_disks_take_for_one_name_whatever_is_filtered(tmp_path: Path) -> None:
    names = ["a", "A", "fx/é", "FX/e\u0301", "straße", "STRASSE"]
    rows = [row(n, custom_id=name, text=name, status="failed" if n % 2 else "finished") for n, name in enumerate(names)]
    assert write_sidecars(rows, tmp_path / "all") == 6
    files = list((tmp_path / "all").rglob("*.txt"))
    assert len({normalize("NFC", str(file).casefold()) for file in files}) == len(files) == 6
    assert {file.read_text().strip() for file in files} == set(names)
    assert write_sidecars(rows, tmp_path / "some", status="failed") == 3
    assert set(tree(tmp_path / "some")) < set(tree(tmp_path / "all"))


@pytest.mark.parametrize(
    ("custom_id", "name"),
    [
        ("\u202egnp.exe", "%E2%80%AEgnp.exe"),
        ("\x9b\x85", "%C2%9B%C2%85"),
        ("Nul.png", "%4E%75%6C.png"),
        ("com1", "%63%6F%6D%31"),
        ("console.png", "console.png"),
        ("end. .", "end%2E%20%2E"),
        ("é.png", "é.png"),
    ],
)
def test_names_do_nothing_unseen_and_windows_takes_them(custom_id: str, name: str) -> None:
    assert parts(custom_id) == [name]
    assert parts(f"{custom_id}/x") == [name, "x"]


def test_charts_called_like_each_others_sidecars_do_not_meet(tmp_path: Path) -> None:
    names = ["a", "a.txt/b", "a.json/c", "a.txt", "x/a", "x/a.TXT/b"]
    rows = [row(n, custom_id=name, text=name) for n, name in enumerate(names)]
    assert write_sidecars(rows, tmp_path / "out") == len(names)
    answers = {file.read_text().strip() for file in (tmp_path / "out").rglob("*.txt") if file.is_file()}
    assert answers == set(names)
    assert parts("a.txt/b.txt") == ["a%2Etxt", "b.txt"]
