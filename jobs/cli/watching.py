"""Watch a batch: the live panel in a terminal, a status line every few seconds on a pipe."""

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from redis.exceptions import RedisError
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from jobs.batches.follow import exit_code, summary
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.cli.panel import panel
from jobs.cli.progress import Show, shown
from jobs.core.text import beginning
from jobs.lanes import Gate
from jobs.ledger import Batch, CallsMade, ResultRow, StoreUnavailableError
from jobs.ledger.counts import RECENT_S

#: Seconds between two looks at gates and rows, and how many times longer than a look it is at least.
_LOOK_EVERY_S, _REST_FACTOR = 1.0, 10.0

#: Newest rows of each kind.
_ANSWERS, _FAILURES = 3, 2

#: A pace over a shorter time says little; that nothing has ended says little for longer.
_SHORTEST_SPAN_S = 3.0


class Watching(Protocol):
    """Shows how it goes; what is shown last replaces what was there."""

    def line(self, line: str) -> None:
        """Before there is a batch: any line."""

    def show(self, *stages: BatchDocument) -> None:
        """The batch's document; of a run in stages each one's, in their order."""

    def tell(self, line: str) -> None:
        """A line that stays, above what is shown."""


@contextmanager
def watched(session: Session, console: Console, *, quiet: bool = False) -> Iterator[Watching]:
    """What to show progress with on this console."""
    if quiet or not console.is_terminal or not console.encoding.startswith("utf"):
        with shown(lambda: console, quiet=quiet) as show:
            yield _Lines(show, console, quiet=quiet)
        return
    console.soft_wrap = False  # a panel is laid out to the terminal's width
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live, _logs_above(console):
        yield _LivePanel(session, live)


class Pace:
    """How many charts end in a minute, by the documents of the last one."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, document: BatchDocument, at_s: float) -> float | None:
        """Charts a minute with this document, seen at `at_s` on any steady clock; None if it is too early to say."""
        counts = document["request_counts"]
        self._seen.append((at_s, counts["finished"] + counts["failed"]))
        while self._seen[0][0] < at_s - RECENT_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        span_s, ended = at_s - since_s, max(0, self._seen[-1][1] - before)
        too_early = span_s < (_SHORTEST_SPAN_S if ended else RECENT_S / 2)
        return None if too_early else ended * 60 / span_s


class _Lines:
    def __init__(self, show: Show, console: Console, *, quiet: bool) -> None:
        self._show, self._console, self._quiet = show, console, quiet

    def line(self, line: str) -> None:
        self._show(line)

    def show(self, *stages: BatchDocument) -> None:
        if None in map(exit_code, stages):  # the last word is the command's
            self._show("\n".join(map(summary, stages)))

    def tell(self, line: str) -> None:
        if not self._quiet:
            self._console.print(beginning(line))


class _LivePanel:
    def __init__(self, session: Session, live: Live) -> None:
        self._session, self._live = session, live
        self._stages: dict[str, _Stage] = {}

    def line(self, line: str) -> None:
        self._show(Text(beginning(line)))

    def show(self, *stages: BatchDocument) -> None:
        *before, last = stages
        self._show(Group(*(self._panel(document, brief=True) for document in before), self._panel(last, brief=False)))

    def tell(self, line: str) -> None:
        self._live.console.print(Text(beginning(line)), soft_wrap=True)

    def _panel(self, document: BatchDocument, *, brief: bool) -> RenderableType:
        stage = self._stages.setdefault(document["batch_id"], _Stage(self._session))
        return stage.panel(document, brief=brief)

    def _show(self, picture: RenderableType) -> None:
        self._live.update(_RoomForEcho(picture), refresh=True)


class _Stage:
    """One batch: what its document doesn't tell, looked at now and then."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pace = Pace()
        self._batch: Batch | None = None
        self._gates: list[Gate] = []
        self._latest: Sequence[ResultRow] = ()
        self._calls = CallsMade()
        self._counted: object = None
        self._next_look_s = 0.0

    def panel(self, document: BatchDocument, *, brief: bool) -> RenderableType:
        started_s = time.monotonic()
        if started_s >= self._next_look_s or exit_code(document) is not None:
            with suppress(RedisError, StoreUnavailableError):  # who brings the documents tries again; we show the last
                self._look(document)
            now_s = time.monotonic()
            self._next_look_s = now_s + max(_LOOK_EVERY_S, _REST_FACTOR * (now_s - started_s))
        a_minute = self._pace.see(document, started_s)
        return panel(
            document,
            self._gates,
            self._latest,
            now=self._session.clock.now(),
            a_minute=None if a_minute is None else a_minute / self._session.clock.speed,
            calls=self._calls,
            brief=brief,
        )

    def _look(self, document: BatchDocument) -> None:
        if self._batch is None:
            self._batch = self._session.ledger.batch(document["batch_id"])
        ledger, batch, counts = self._session.ledger, self._batch, document["request_counts"]
        if exit_code(document) is None or document["hold"]:
            self._gates = self._session.gates_of(batch)
        self._calls = ledger.calls(batch)
        counted = (counts["finished"], counts["failed"])
        if counted != self._counted:
            answers = ledger.latest(batch, _ANSWERS) if counts["finished"] else []
            failures = ledger.latest(batch, _FAILURES, status="failed") if counts["failed"] else []
            self._latest, self._counted = [*answers, *failures], counted


class _RoomForEcho:
    """Leaves the columns free that a terminal echoes `^C` to: in the next line it would spoil the redrawing."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._inner, options.update_width(max(1, options.max_width - len("^C"))))


@contextmanager
def _logs_above(console: Console) -> Iterator[None]:
    """Log lines go above the panel, not through it: rich stands in for stderr, where the handlers must find it."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is console.file
    ]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)
