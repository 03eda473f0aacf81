"""The live panel: where a batch stands, for people. A pure function of what was read; `watching` keeps it up."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jobs.batches.shapes import BatchDocument, CountsDocument, HoldDocument, JobState, tokens_text
from jobs.core.text import LABEL_CHARS, counted, label, one_line
from jobs.core.time_text import clock, duration
from jobs.lanes import Gate
from jobs.ledger import CallsMade, ResultRow

#: The states in the bar's order, with their colours.
_STYLES: dict[JobState, str] = {
    "finished": "green",
    "failed": "red",
    "canceled": "magenta",
    "started": "cyan",
    "scheduled": "yellow",
    "queued": "bright_black",
}

NO_CALLS = CallsMade()

#: What a closed gate waits for.
_WHY = {
    "throttled": "the provider has had too many calls",
    "loading": "the model is being loaded",
    "unreachable": "the provider can't be reached",
    "outage": "the provider answers badly",
}

#: Shorter waits are the normal pace of a budget.
_SHORTEST_WAIT_S = 1.0

#: Cells of a chart's name beside its answer; characters of an answer that are looked at; of a batch's name.
_CHART_CELLS, _LINE_CHARS, _NAME_CHARS = 26, 500, 100


def panel(
    document: BatchDocument,
    gates: Sequence[Gate],
    latest: Sequence[ResultRow],
    *,
    now: float,
    a_minute: float | None = None,
    calls: CallsMade = NO_CALLS,
    brief: bool = False,
) -> RenderableType:
    """The batch's document, its lane's gates and its newest rows as a panel of 60 columns or more.

    `a_minute`: charts that ended in the last minute. `brief`: above the panel of a later stage, which has the room.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bright_black", no_wrap=True)
    facts.add_column(ratio=1, overflow="fold")
    facts.add_row("now", _now(document, gates, now=now))
    if document["status"] == "in_progress":
        facts.add_row("pace", _pace(document, a_minute, now))
        facts.add_row("limit", limits_in_force(gates))
    if not brief:
        facts.add_row("tokens", tokens_text(document["usage"]))
        facts.add_row("calls", _calls(calls))
    parts: list[RenderableType] = [_heading(document), _Bar(document["request_counts"]), _counts(document), facts]
    if latest and not brief:
        parts += [Text(), _latest(latest)]
    return Panel(Group(*parts), title=Text(document["batch_id"]), title_align="left", border_style="bright_black")


class _Bar:
    """A line as long as there is room for, with a part for each state."""

    def __init__(self, counts: CountsDocument) -> None:
        self._counts = {state: counts[state] for state in _STYLES}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = shares(list(self._counts.values()), options.max_width)
        bar = Text(no_wrap=True, end="\n")
        for (state, style), length in zip(_STYLES.items(), cells, strict=True):
            bar.append(("░" if state == "queued" else "█") * length, style)
        yield bar


def shares(counts: Sequence[int], cells: int) -> list[int]:
    """`cells` split in proportion to the counts; what is there at all gets a cell, the largest pays for it."""
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    bounds = [round(cells * sum(counts[:n]) / total) for n in range(len(counts) + 1)]
    parts = [upper - lower for lower, upper in pairwise(bounds)]
    for n, count in enumerate(counts):
        if count and not parts[n]:
            parts[n] = 1
            parts[parts.index(max(parts))] -= 1
    return parts


def _heading(document: BatchDocument) -> Text:
    name = label(document["name"] or "", _NAME_CHARS)
    return Text(" · ".join(filter(None, (name, label(document["model"])))), style="bold", overflow="fold")


def _counts(document: BatchDocument) -> Text:
    counts = document["request_counts"]
    there = [Text(f"{counts[state]:,} {state}", style) for state, style in _STYLES.items() if counts[state]]
    return Text(" · ").join(there or [Text("nothing yet")]) + Text(f" of {counts['total']:,}")


def _now(document: BatchDocument, gates: Sequence[Gate], *, now: float) -> Text:
    if document["status"] not in ("in_progress", "on_hold"):
        return Text(_ending(document), "bold")
    if hold := document["hold"]:
        return Text(_holding(hold, document["batch_id"]), "bold red")
    usable = [gate for gate in gates if not gate.held]
    if not any(gate.live for gate in usable):
        return Text("no worker is running; start one: chartq worker", "bold yellow")
    gate = min(usable, key=lambda one: one.opens_in_s)
    if gate.opens_in_s >= _SHORTEST_WAIT_S:
        return Text(_waiting(gate, now), "yellow")
    if gate.probing:
        return Text("one call goes first, to see whether the way is clear", "yellow")
    return Text("calling" if document["request_counts"]["started"] else "about to call")


def _holding(hold: HoldDocument, batch_id: str) -> str:
    words = f"on hold ({hold['reason']}): {one_line(hold['message'] or '', _LINE_CHARS)}"
    return words if " resume" in words else f"{words}, then: chartq resume {batch_id}"


def _ending(document: BatchDocument) -> str:
    words = str(document["status"]).replace("_", " ")
    if document["finished_at"] is None:
        return words
    start, end = map(datetime.fromisoformat, (document["created_at"], document["finished_at"]))
    return f"{words}, {duration(max(0.0, (end - start).total_seconds()))} after its submit"


def _waiting(gate: Gate, now: float) -> str:
    closed_s = (gate.until_s or 0.0) - gate.now_s
    reason = "the budget is used up" if gate.budget_wait_s >= closed_s else _WHY.get(gate.why or "", gate.why or "?")
    return f"waiting until {clock(now + gate.opens_in_s, now)}, in {duration(gate.opens_in_s)}: {reason}"


def _pace(document: BatchDocument, a_minute: float | None, now: float) -> str:
    words = "no figure yet" if a_minute is None else f"{_figure(a_minute)} charts a minute"
    if document["eta_s"]:
        words += f" · about {duration(document['eta_s'])} to go, until {clock(now + document['eta_s'], now)}"
    return words


def limits_in_force(gates: Sequence[Gate]) -> str:
    """The budget and concurrency of each gate that a live worker brings, a line each."""
    live = [gate for gate in gates if gate.live and not gate.held]
    return "\n".join(map(_limit_of, live)) or "not known before a worker runs"


def _limit_of(gate: Gate) -> str:
    budget = [
        f"{max(0, window.calls - spent):,} of {window.calls:,} calls left in {duration(window.window_ms / 1000)}"
        for window, spent in zip(gate.windows, gate.spent, strict=True)
    ]
    known = [most for most in (gate.limit, gate.ceiling) if most]
    allowed = ""
    if known:  # lowered, it holds for calls that begin
        allowed = f", {'from now on ' if gate.in_flight > min(known) else ''}at most {min(known):,}"
    return " · ".join([*(budget or ["no budget"]), f"{gate.in_flight:,} in flight{allowed}"])


def _calls(calls: CallsMade) -> str:
    refused = f" · {calls.refused:,} refused as too many, which spends no attempt" if calls.refused else ""
    return counted(calls.attempts, "attempt") + refused


def _latest(rows: Sequence[ResultRow]) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        good = row.status == "finished"
        said = row.text or "" if good else f"{row.error.type}: {row.error.message}" if row.error else row.status
        mark = Text("✓", "green") if good else Text("✗", "red")
        chart = _tail(label(row.custom_id[-LABEL_CHARS:]), _CHART_CELLS)
        table.add_row(mark, Text(chart), Text(one_line(said[:_LINE_CHARS])))
    return table


def _tail(text: str, cells: int) -> str:
    """The end of a name, which tells charts apart."""
    if cell_len(text) <= cells:
        return text
    while cell_len(text) >= cells:
        text = text[1:]
    return f"…{text}"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}".removesuffix(".0")
