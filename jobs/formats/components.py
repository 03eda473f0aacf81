"""Pieces of HTML that the report and the comparison share: pictures, names, answers, figures."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from jobs.formats.format import Row
from jobs.formats.page import esc
from jobs.formats.rows import fields_of, is_rehearsal, tokens_of
from jobs.formats.thumbnails import Missing, Shot

#: Characters (or line breaks) of an answer that is shown folded.
_LONG_CHARS, _LONG_LINES = 700, 12

#: Fields of a structured answer that are listed; the JSON file has the others.
_MOST_FIELDS = 40

#: On one line; bounded, since an answer may be nothing but stars.
_BOLD = re.compile(r"\*\*(?=\S)((?:(?!&#10;).){1,300}?)(?<=\S)\*\*")


def pictures(shots: Sequence[Shot], name: str) -> str:
    """All that the row shows; nothing at all for text alone."""
    return "".join(picture(shot, name) for shot in shots)


def picture(shot: Shot, name: str) -> str:
    """The chart's picture, or why there is none."""
    if isinstance(shot, Missing):
        return f'<p class="shot missing" dir="auto"><b>No picture</b><span>{esc(shot.reason)}</span></p>'
    return (
        f'<div class="shot"><img src="{shot.uri}" width="{shot.width}" height="{shot.height}" '
        f'alt="Chart {esc(name)}" decoding="async"></div>'
    )


def heading(custom_id: str) -> str:
    """The chart's name; its folders are less loud."""
    folder, slash, name = custom_id.rpartition("/")
    return f'<h2 dir="auto"><span>{esc(folder + slash)}</span>{esc(name)}</h2>'


def pill(status: str, label: str | None = None) -> str:
    return f'<span class="pill {esc(status)}">{esc(label or status)}</span>'


def prose(text: str) -> str:
    """An answer's text; of Markdown, which models write unasked, only **bold** is honoured."""
    return _BOLD.sub(r"<strong>\1</strong>", esc(text.strip()))


def outcome(row: Row) -> str:
    """The answer, the error, or that there is none yet."""
    text = row.get("text")
    if text is not None:
        fields = fields_of(text)
        return fielded(fields) if fields else folded(prose(text), text)
    if error := row.get("error"):
        code = f" {error['status_code']}" if error.get("status_code") else ""
        return f'<p class="error" dir="auto"><b>{esc(error["type"])}{esc(code)}</b> {esc(error["message"])}</p>'
    return '<p class="none">canceled</p>' if row["status"] == "canceled" else '<p class="none">no answer yet</p>'


def source(text: str) -> str:
    """The answer that was asked about, above what was made of it."""
    return f'<section class="source"><h3>Asked about</h3>{folded(prose(text), text)}</section>'


def folded(shown: str, text: str) -> str:
    """An answer in prose; a long one can be unfolded."""
    long = len(text) > _LONG_CHARS or text.count("\n") > _LONG_LINES
    fold = '<button type="button" class="fold" aria-expanded="false">Show all</button>' if long else ""
    return f'<div class="answer{" long" if long else ""}" dir="auto">{shown}</div>{fold}'


def fielded(fields: dict[str, Any], differing: Iterable[str] = ()) -> str:
    """A structured answer as a list of its fields."""
    marked = set(differing)
    listed = "".join(
        f'<dt>{esc(name)}</dt><dd{_differs(name in marked)} dir="auto">{_value(value)}</dd>'
        for name, value in list(fields.items())[:_MOST_FIELDS]
    )
    more = len(fields) - _MOST_FIELDS
    return f'<dl class="fields">{listed}</dl>' + (f'<p class="none">and {more} more fields</p>' if more > 0 else "")


def _differs(yes: bool) -> str:
    return ' class="differs"' if yes else ""


def _value(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        return '<span class="items">' + " ".join(f"<span>{esc(_scalar(one))}</span>" for one in value) + "</span>"
    return esc(_scalar(value))


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def figures(row: Row) -> str:
    """Tokens and time, as short words."""
    prompt, completion = tokens_of(row)
    told = []
    if prompt is not None or completion is not None:
        told.append(f'<span title="prompt + completion tokens">{prompt or 0:,} + {completion or 0:,} tokens</span>')
    if row["latency_s"] is not None:
        told.append(f'<span title="latency">{row["latency_s"]:.1f} s</span>')
    if row["attempts"] > 1:
        told.append(f"<span>{row['attempts']} attempts</span>")
    if row["throttled"]:
        told.append(f'<span title="calls that the server refused for now">{row["throttled"]}× throttled</span>')
    return "".join(told)


def rehearsal_mark(row: Row) -> str:
    if not is_rehearsal(row):
        return ""
    return '<span class="pill rehearsal" title="The rehearsal server answered, not a model">rehearsal</span>'


REHEARSAL_BANNER = (
    '<p class="banner"><b>Rehearsal.</b> The rehearsal server gave these answers; no model has seen the charts.</p>'
)


def sort_keys(number: int, row: Row, status: str) -> str:
    """The attributes that page.js filters and sorts by."""
    prompt, completion = tokens_of(row)
    keys = {
        "n": number,
        "status": status,
        "name": row["custom_id"],
        "seconds": row["latency_s"],
        "tokens": None if prompt is None and completion is None else (prompt or 0) + (completion or 0),
    }
    return "".join(f' data-{name}="{esc(value)}"' for name, value in keys.items() if value is not None)


def clock(iso: str | None) -> str:
    """A moment for people, in UTC, and for machines."""
    if iso is None:
        return ""
    return f'<time datetime="{esc(iso)}">{datetime.fromisoformat(iso):%Y-%m-%d %H:%M}</time> <small>UTC</small>'


def took(start_iso: str, end_iso: str) -> str:
    """The time between two moments, in its two largest units."""
    start, end = datetime.fromisoformat(start_iso), datetime.fromisoformat(end_iso)
    seconds = max(0, round((end - start).total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in [one for one in parts if one[0]][:2]) or "under 1 s"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values (HTML) as tiles."""
    return '<dl class="facts">' + "".join(f"<div><dt>{esc(n)}</dt><dd>{v}</dd></div>" for n, v in pairs if v) + "</dl>"


def bar(counts: Sequence[tuple[str, int]]) -> str:
    """How many of each, drawn to scale; the words beside it say the same."""
    total = sum(count for _, count in counts) or 1
    x, drawn = 0.0, ""
    for name, count in counts:
        width = 1000 * count / total
        drawn += f'<rect class="{esc(name)}" x="{x:.2f}" width="{width:.2f}" height="10"/>'
        x += width
    return f'<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def question(prompt: str) -> str:
    if not prompt:
        return ""
    return (
        '<figure class="prompt"><figcaption>Prompt</figcaption>'
        f'<blockquote dir="auto">{esc(prompt)}</blockquote></figure>'
    )
