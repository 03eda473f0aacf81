"""The report of a batch: every chart with its answer on one page."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TextIO

from jobs.core.job import ENDED_STATES, OPEN_STATES
from jobs.formats import components
from jobs.formats.format import ReportContext, Row
from jobs.formats.page import Page, esc, page
from jobs.formats.rows import image_text, is_rehearsal, sent_text
from jobs.formats.thumbnails import Album, Shot, with_shots

#: Rows looked at for rehearsal answers before the head is written; a home has one kind or the other.
_PEEK_ROWS = 100

_STATES = ("finished", "failed", "canceled", "started", "queued", "scheduled")

_SORTS = (
    ("n", "As submitted"),
    ("name", "Name"),
    ("status", "Status"),
    ("seconds", "Slowest first"),
    ("tokens", "Most tokens first"),
)


def write_html(rows: Iterable[Row], out: TextIO, context: ReportContext) -> None:
    """Write the page; each row is read, shown and forgotten."""
    waiting = iter(rows)
    first = list(islice(waiting, _PEEK_ROWS))
    document = context.status()
    # The questions of a stage are one template, filled in.
    is_stage = any("source_text" in row for row in first)
    prompt = context.question.prompt if is_stage or len({row["prompt"] for row in first}) < 2 else ""
    shell = Page(
        title=f"{document['name'] or document['batch_id']} · chartq",
        head=_head(document, prompt, rehearsal=any(map(is_rehearsal, first))),
        filters=tuple((state, state.capitalize()) for state in _STATES),
        sorts=_SORTS,
        kind="batch",
    )
    shots = with_shots(chain(first, waiting), Album(context).shots)
    for piece in page(shell, (_card(number, row, taken, prompt) for number, (row, taken) in enumerate(shots, 1))):
        out.write(piece)


def _card(number: int, row: Row, shots: Sequence[Shot], prompt: str) -> str:
    """`prompt`: what the head of the page says; a row that asks something else says so itself."""
    status = row["status"]
    source = row.get("source_text")
    asked = components.question(row["prompt"]) if row["prompt"] != prompt and source is None else ""
    asked += components.source(source) if source is not None else ""
    marks = components.pill(status) + components.rehearsal_mark(row)
    return (
        f'<article class="card"{components.sort_keys(number, row, status)}>'
        f"{components.pictures(shots, row['custom_id'])}"
        f'<div class="text"><header>{components.heading(row["custom_id"])}<p class="pills">{marks}</p></header>'
        f"{asked}{components.outcome(row)}"
        f'<div class="small">{components.figures(row)}{_details(row)}</div></div></article>'
    )


def _details(row: Row) -> str:
    """Where it came from, for whoever wants to look it up."""
    told = (
        ("job", row["job_id"]),
        ("image", image_text(row["image"])),
        ("sent", sent_text(row.get("sent"))),
        ("ended by", row.get("finish_reason")),
        ("provider", row["provider"]),
        ("request", row["request_id"]),
        ("ended", row["finished_at"]),
    )
    listed = "".join(f'<dt>{name}</dt><dd dir="auto">{esc(value)}</dd>' for name, value in told if value)
    return f"<details><summary>Details</summary><dl>{listed}</dl></details>"


def _head(document: Mapping[str, Any], prompt: str, *, rehearsal: bool) -> str:
    counts = document["request_counts"]
    named = document["name"] or document["batch_id"]
    status = document["status"]
    return (
        '<header class="head">'
        f'<p class="brand">chartq report</p><h1 dir="auto">{esc(named)}</h1>'
        f'<p class="pills">{components.pill(status, status.replace("_", " "))}'
        f"<code>{esc(document['model'])}</code><code>{esc(document['batch_id'])}</code></p>"
        f"{components.REHEARSAL_BANNER if rehearsal else ''}{_hold(document)}"
        f"{components.question(prompt)}"
        f"{components.bar([(state, counts[state]) for state in _STATES])}"
        f"{components.facts(_facts(document))}</header>"
    )


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts, usage = document["request_counts"], document["usage"]
    ended = sum(counts[state] for state in ENDED_STATES)
    unfinished = sum(counts[state] for state in OPEN_STATES)
    ended_at = document["finished_at"]
    return [
        ("charts", f"{counts['total']:,}"),
        ("finished", f"{counts['finished']:,}"),
        ("failed", f"{counts['failed']:,}" if ended else ""),
        ("cut off", f"{document['cut_off']:,}: raise max_tokens" if document.get("cut_off") else ""),
        ("canceled", f"{counts['canceled']:,}" if counts["canceled"] else ""),
        ("to come", f"{unfinished:,}" if unfinished else ""),
        ("prompt tokens", f"{usage['prompt_tokens']:,}"),
        ("completion tokens", f"{usage['completion_tokens']:,}"),
        ("submitted", components.clock(document["created_at"])),
        ("ended", components.clock(ended_at)),
        ("took", components.took(document["created_at"], ended_at) if ended_at else ""),
    ]


def _hold(document: Mapping[str, Any]) -> str:
    hold = document["hold"]
    return f'<p class="banner"><b>On hold.</b> {esc(hold["message"])}</p>' if hold else ""
