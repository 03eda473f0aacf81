"""Results leave the store as they are written: the quick way writes what the slow way does, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.stores import STORES, id_of, new_store, start, submit

from jobs.batches.documents import result_document, result_line
from jobs.batches.results import Results
from jobs.core.text import dumps
from jobs.ledger import AnswerRow, Failed, Finished, Ledger, ResultRow

#: What breaks lines, turns the text, acts in a terminal, or can't be encoded; and what JSON has to escape.
ODD = [
    "",
    "plain",
    'a "quoted" \\ word\nand\ta line\r\n',
    "\x00\x1b[2J\x7f\x85\x9b",
    "two\u2028lines\u2029 \ufeff\u061c",
    "\u202egnp.exe\u2066 🚀 مرحبا",
    "\ud800 half",
    '{"id": 1}',
]
RAW: list[Any] = [
    *ODD,
    None,
    [],
    {},
    1.5e300,
    [{"a": ODD}],
    {'odd": "key': 1, "b": [{}]},
    {"id": {"a": ODD, "b": [0.1, -0.0, 10**30]}},
]

ROW = ResultRow(
    position=0,
    custom_id="x.png",
    job_id="ab",
    stored_image="/x.png",
    model="org/model",
    prompt="Up?",
    status="finished",
    error_type=None,
    error_message=None,
    status_code=None,
    attempts=1,
    throttled=0,
    finished_at=1_790_000_000.1234,
    rehearsal=0,
    prompt_tokens=7,
    completion_tokens=None,
    latency_s=0.5,
    request_id=None,
    provider="p",
    finish_reason="stop",
    sent_json='{"format": "PNG", "width": 1}',
    text="up",
    raw_json='{"id": 1}',
)


def rows() -> list[ResultRow]:
    names = ("custom_id", "prompt", "model", "text", "provider")
    made = [ResultRow(**{**ROW._asdict(), name: odd}) for odd in ODD for name in names]
    made += [
        ROW._replace(stored_image=image) for image in ('pictures://["/a", "/\u2028"]', "", "/\U0010dcff.png", "/é")
    ]
    made += [ROW._replace(raw_json=spelled) for raw in RAW for spelled in spellings(raw)]
    made += [ROW._replace(text=text) for text in ('{"trend": "\u2028"}', "no JSON", "[1, NaN]")]
    no_answer = ROW._replace(text=None, raw_json=None, sent_json=None, latency_s=None, error_type="E", status_code=413)
    return made + [no_answer._replace(status=one, error_message=odd) for one in ("failed", "queued") for odd in ODD]


def spellings(value: Any) -> list[str]:
    """As this version stores it, and as the ones before it did."""
    return [json.dumps(value, ensure_ascii=False, separators=one) for one in ((", ", ": "), (",", ":"))]


@pytest.mark.parametrize("structured", [False, True])
def test_a_line_is_the_rows_document(structured: bool) -> None:
    for row in rows():
        line = result_line(row, structured=structured)
        assert line == dumps(result_document(row, structured=structured))
        assert line.isprintable()


@pytest.mark.parametrize("kind", STORES)
def test_lines_and_documents_of_a_store_are_the_same_whatever_was_answered(kind: str, tmp_path: Path) -> None:
    with Ledger.open(new_store(kind, tmp_path)) as ledger:
        batch = submit(ledger, [*(f"c{number}" for number in range(len(RAW))), "failed", "open"], now=1.0)
        for number, raw in enumerate(RAW):
            text = ODD[number % len(ODD)]
            start(ledger, f"c{number}")
            answer = AnswerRow(text=text, raw=raw, provider=text, request_id=text, sent={"format": "PNG", "width": 1})
            ledger.record([Finished(job_id=id_of(f"c{number}"), execution_id="e", answer=answer)], 1.79e9 + number / 7)
        start(ledger, "failed")
        failed = Failed(job_id=id_of("failed"), execution_id="e", error_type="E", message=ODD[3])
        ledger.record([failed], 2.0)
        for options in ({}, {"with_raw": False}, {"status": "failed"}, {"with_source": True}):
            results = Results(ledger=ledger, batch=batch, **options)
            assert list(results.lines()) == list(map(dumps, results))
        assert [row["raw"] for row in Results(ledger=ledger, batch=batch, with_raw=False)] == [None] * (len(RAW) + 2)
