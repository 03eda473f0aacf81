"""The page of a comparison: each chart once, with both answers and where they differ."""

from collections.abc import Iterator, Sequence
from typing import TextIO

from jobs.formats import components
from jobs.formats.compared_batch import ComparedBatch
from jobs.formats.format import Row
from jobs.formats.page import Page, esc, page
from jobs.formats.pairs import OUTCOMES, Pair, Pairs
from jobs.formats.rows import fields_of
from jobs.formats.thumbnails import Album, Shot, with_shots
from jobs.formats.word_diff import Piece, pieces

_SORTS = (("n", "As submitted"), ("status", "Differences first"), ("name", "Name"))


def write_html_comparison(pairs: Pairs, out: TextIO, a: ComparedBatch, b: ComparedBatch) -> None:
    """Write the page, pair by pair."""
    shell = Page(
        title=f"{a.name} and {b.name} · chartq",
        head=_head(pairs, a, b),
        filters=[(outcome, words.capitalize()) for outcome, words in OUTCOMES.items()],
        sorts=_SORTS,
        kind="comparison",
    )
    for piece in page(shell, _cards(pairs, a, b)):
        out.write(piece)


def _cards(pairs: Pairs, a: ComparedBatch, b: ComparedBatch) -> Iterator[str]:
    albums = [Album(one.context) for one in (a, b)]

    def shots(pair: Pair) -> Sequence[Shot]:
        return albums[0].shots(pair.a) if pair.a else albums[1].shots(pair.either)

    for number, (pair, taken) in enumerate(with_shots(pairs, shots), 1):
        yield _card(number, pair, taken, a, b)


def _card(number: int, pair: Pair, shots: Sequence[Shot], a: ComparedBatch, b: ComparedBatch) -> str:
    a_shown, b_shown = _both(pair)
    source = _source(pair)
    return (
        f'<article class="card"{components.sort_keys(number, pair.either, pair.outcome)}>'
        f'{components.pictures(shots, pair.custom_id)}<div class="both"><header>{components.heading(pair.custom_id)}'
        f'<p class="pills">{components.pill(pair.outcome, OUTCOMES[pair.outcome])}</p></header>'
        f'{components.source(source) if source else ""}<div class="sides">'
        f"{_side('A', a, pair.a, a_shown, source)}{_side('B', b, pair.b, b_shown, source)}</div></div></article>"
    )


def _source(pair: Pair) -> str | None:
    """The one answer that the pair asks about, if both ask about the same, and it is none of the pair's own."""
    rows = [row for row in (pair.a, pair.b) if row]
    sources = {row.get("source_text") for row in rows} - {None, *(row["text"] for row in rows)}
    return sources.pop() if len(sources) == 1 else None


def _side(letter: str, side: ComparedBatch, row: Row | None, shown: str, above: str | None) -> str:
    """`above`: the answer asked about that stands above both sides."""
    state = "" if row is None or row["status"] == "finished" else components.pill(row["status"])
    mark = components.rehearsal_mark(row) if row else ""
    small = f'<div class="small">{components.figures(row)}</div>' if row else ""
    who = f'<p class="who"><span class="letter">{letter}</span><span>{esc(side.name)}</span>{state}{mark}</p>'
    asked = _asked(row, side, above) if row else ""
    return f"<div>{who}{asked}{shown}{small}</div>"


def _asked(row: Row, side: ComparedBatch, above: str | None) -> str:
    """What this side alone was asked; a stage's question is that of the head, filled in with the answer."""
    source = row.get("source_text")
    if source is None:
        return components.question(row["prompt"]) if row["prompt"] != side.context.question.prompt else ""
    return "" if source == above else components.source(source)


def _both(pair: Pair) -> tuple[str, str]:
    """Both answers as HTML; where there are two, what the other lacks is marked."""
    if pair.a is None or pair.b is None or pair.a["text"] is None or pair.b["text"] is None:
        return _alone(pair.a), _alone(pair.b)
    a_text, b_text = pair.a["text"], pair.b["text"]
    a_fields, b_fields = fields_of(a_text), fields_of(b_text)
    if a_fields and b_fields:
        differing = [name for name in {**a_fields, **b_fields} if a_fields.get(name) != b_fields.get(name)]
        return components.fielded(a_fields, differing), components.fielded(b_fields, differing)
    if pair.outcome == "same" or a_fields or b_fields:
        return components.outcome(pair.a), components.outcome(pair.b)
    a_pieces, b_pieces = pieces(*(text.strip().replace("**", "") for text in (a_text, b_text)))
    return components.folded(_marked(a_pieces), a_text), components.folded(_marked(b_pieces), b_text)


def _alone(row: Row | None) -> str:
    return components.outcome(row) if row else '<p class="none">not in this batch</p>'


def _marked(parts: list[Piece]) -> str:
    return "".join(f"<mark>{esc(text)}</mark>" if differs else esc(text) for text, differs in parts)


def _head(pairs: Pairs, a: ComparedBatch, b: ComparedBatch) -> str:
    counts = pairs.counts
    compared = counts["differ"] + counts["same"]
    agreement = f"{100 * counts['same'] / compared:.0f}%" if compared else "-"
    facts = [
        ("charts", f"{sum(counts.values()):,}"),
        ("answers differ", f"{counts['differ']:,}"),
        ("answers the same", f"{counts['same']:,}"),
        ("only one answered", f"{counts['one']:,}" if counts["one"] else ""),
        ("neither answered", f"{counts['none']:,}" if counts["none"] else ""),
        ("agreement", agreement),
    ]
    same_prompt = a.context.question.prompt == b.context.question.prompt
    return (
        '<header class="head"><p class="brand">chartq comparison</p>'
        f"<h1><bdi>{esc(a.name)}</bdi> <span>and</span> <bdi>{esc(b.name)}</bdi></h1>"
        f"{components.REHEARSAL_BANNER if pairs.rehearsal else ''}"
        f"{components.question(a.context.question.prompt) if same_prompt else ''}"
        f'<div class="sides">{_about("A", a, prompt=not same_prompt)}{_about("B", b, prompt=not same_prompt)}</div>'
        f"{components.bar([(name, counts[name]) for name in ('same', 'differ', 'one', 'none')])}"
        f"{components.facts(facts)}</header>"
    )


def _about(letter: str, side: ComparedBatch, *, prompt: bool) -> str:
    document = side.document
    counts, usage = document["request_counts"], document["usage"]
    told = [
        ("charts", f"{counts['total']:,}"),
        ("finished", f"{counts['finished']:,}"),
        ("failed", f"{counts['failed']:,}"),
        ("tokens", f"{usage['prompt_tokens']:,} + {usage['completion_tokens']:,}"),
        ("submitted", components.clock(document["created_at"])),
    ]
    codes = dict.fromkeys(str(document[key]) for key in ("name", "model", "batch_id") if document[key])
    shown = "".join(f"<code>{esc(code)}</code>" for code in codes if code != side.name)
    return (
        f'<section class="side"><h2><span class="letter">{letter}</span> <bdi>{esc(side.name)}</bdi></h2>'
        f'<p class="pills">{shown}</p>'
        f"{components.question(side.context.question.prompt) if prompt else ''}{components.facts(told)}</section>"
    )
