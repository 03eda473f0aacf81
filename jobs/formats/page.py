"""One self-contained HTML page, written as a stream: no network, no fonts, no framework.

Cards are one line each. The first ones stand in the page; the rest stand in inert `<script type="text/html">`
blocks, which cost a browser nothing until `page.js` needs one of their lines. That way 100,000 rows open as fast as
1,000, and without JavaScript the first ones can still be read.

Everything from outside goes through `esc`, in text and in attributes alike. So a card never holds a `<` that we
didn't write, and we write no `</script`. Whatever slipped through would still not run: the content security policy
allows nothing but the hashes of our own style and scripts.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from itertools import chain, islice

from jobs.formats.rows import shown

#: Cards that stand in the page itself: what a browser lays out at once without a pause.
_AT_ONCE = 1_000

#: Whether a text has nothing to escape, as names, numbers and most answers.
_AS_IT_IS = re.compile(r"[\t !#-%(-;=?-~]*").fullmatch

#: Cards per inert block.
_PER_BLOCK = 1_000

#: Set before the page is painted, so that it doesn't flash: that scripts run, and the theme chosen last time.
_EARLY_SCRIPT = """\
document.documentElement.classList.add("js");
try { document.documentElement.dataset.theme = localStorage.getItem("chartq-theme") || ""; } catch { /* no storage */ }
"""

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%230f766e'/%3E"
    "%3Cpath d='M3 11l3-4 3 2 4-5' fill='none' stroke='white' stroke-width='1.8'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is around the cards. `head` is HTML; the rest is text."""

    title: str
    head: str
    #: (value of data-status, label) of each filter, in order.
    filters: Sequence[tuple[str, str]]
    #: (name of a sort in page.js, label).
    sorts: Sequence[tuple[str, str]]
    #: "batch" or "comparison": how cards are laid out.
    kind: str


def esc(value: object) -> str:
    """Text for HTML, in an element or a quoted attribute, on one line."""
    text = str(value)
    return text if _AS_IT_IS(text) else html.escape(shown(text)).replace("\n", "&#10;")


def page(shell: Page, cards: Iterable[str]) -> Iterator[str]:
    """The page in pieces. `cards`: one line of HTML each."""
    style, script = _asset("page.css"), _asset("page.js")
    yield _opening(shell, style, script)
    yield f'<main id="rows" class="{esc(shell.kind)}">\n'
    waiting = iter(cards)
    first = next(waiting, None)
    if first is None:
        yield '<p class="nothing">No rows: this batch is empty, or no row has the status asked for.</p>\n'
    else:
        for card in islice(chain([first], waiting), _AT_ONCE):
            yield card + "\n"
    yield "</main>\n"
    yield from _blocks(waiting)
    yield _closing(script)


def _blocks(cards: Iterator[str]) -> Iterator[str]:
    first = next(cards, None)
    if first is not None:
        yield "<noscript><p>The rest of the rows needs JavaScript.</p></noscript>\n"
    while first is not None:
        yield '<script type="text/html" class="rows">\n'
        for card in islice(chain([first], cards), _PER_BLOCK):
            yield card + "\n"
        yield "</script>\n"
        first = next(cards, None)


def _opening(shell: Page, style: str, script: str) -> str:
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(_EARLY_SCRIPT)} {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="chartq {esc(version("chartq"))}">
<title>{esc(shell.title)}</title>
<link rel="icon" href="{_ICON}">
<script>{_EARLY_SCRIPT}</script>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#rows">Skip to the charts</a>
<button type="button" id="theme" aria-label="Switch between light and dark"></button>
{shell.head}
{_tools(shell)}
"""


def _closing(script: str) -> str:
    return f"""<p class="after"><button type="button" id="more" hidden>Show more</button></p>
<footer class="colophon">Made by chartq {esc(version("chartq"))}</footer>
<script>{script}</script>
</body>
</html>
"""


def _tools(shell: Page) -> str:
    radios = "".join(
        f'<label data-filter="{esc(value)}"><input type="radio" name="status" value="{esc(value)}"'
        f"{' checked' if not value else ''}><span>{esc(label)} <b></b></span></label>"
        for value, label in (("", "All"), *shell.filters)
    )
    options = "".join(f'<option value="{esc(value)}">{esc(label)}</option>' for value, label in shell.sorts)
    return (
        '<form class="tools" id="tools" role="search">'
        '<label class="search"><span class="hidden">Search</span>'
        '<input type="search" id="q" placeholder="Search names and answers" autocomplete="off" spellcheck="false">'
        '<kbd aria-hidden="true">/</kbd></label>'
        f'<fieldset class="filters"><legend class="hidden">Show</legend>{radios}</fieldset>'
        f'<label class="sort"><span class="hidden">Sort by</span><select id="sort">{options}</select></label>'
        '<output id="count" aria-live="polite"></output></form>'
    )


def _asset(name: str) -> str:
    return files("jobs.formats").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
