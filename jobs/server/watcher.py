"""One look at the ledger per tick, for everybody who waits: for a job's end, or for news of a batch."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from redis.exceptions import RedisError

from jobs.batches.documents import lane_hold, lane_opens_at
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument, HoldDocument
from jobs.core.errors import ChartqError, UnknownIdError
from jobs.core.job import ENDED_STATES
from jobs.ledger import Batch, JobRow
from jobs.server.errors import ApiError

log = logging.getLogger("chartq.server")

#: Seconds between two looks at jobs (a worker in this process says itself when one has ended), at gates and batches.
_JOBS_TICK_S, _SLOW_TICK_S = 0.05, 1.0

#: Batches of the list that are told live, and seconds for which it is known which these are.
LIST_LENGTH, _LIST_FRESH_S = 100, 2.5

#: Seconds between two looks at what pages show, the list or one batch: with two reads for each, and another of the list
#: now and then, all pages together cost less than two a second.
_PAGES_TICK_S = 1.3

#: Requests that may wait for an answer or for news at a time.
MAX_WAITING = 1000


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The job is through."""

    row: JobRow


@dataclass(frozen=True, kw_only=True)
class Held:
    """The job's lane is on hold; `hold` as in a batch's document."""

    hold: HoldDocument


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """No answer within the time that a request waits. `opens_at`: when the lane opens, where that is why."""

    opens_at: float | None = None


Outcome = Ended | Held | NotYet


@dataclass(eq=False, kw_only=True)
class _Waiter:
    job_id: str
    lane: str
    #: A lane that stays closed for longer is not waited for.
    patience_s: float
    until: float  # monotonic
    tell: Callable[[Outcome], None]


@dataclass(eq=False, kw_only=True)
class _Listener:
    #: A batch; or an owner, of whose newest batches it hears.
    to: Batch | str
    tell: Callable[[Any], None]


@dataclass
class Watcher:
    """A thread that runs while somebody waits."""

    new_session: Callable[[], Session]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _news: threading.Event = field(default_factory=threading.Event)
    _waiters: set[_Waiter] = field(default_factory=set)
    _listeners: set[_Listener] = field(default_factory=set)
    #: By owner: the batches of the list, and when they are read anew (monotonic).
    _lists: dict[str, tuple[float, list[Batch]]] = field(default_factory=dict)
    #: By owner: what was told last, for who comes between two looks.
    _told: dict[str, list[BatchDocument]] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _leaving: bool = False

    async def job(self, job_id: str, *, lane: str, patience_s: float, timeout_s: float) -> Outcome:
        """The job's end, or why there is none yet. Raises ApiError: too many wait already."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def tell(outcome: Outcome) -> None:
            loop.call_soon_threadsafe(_settle, answer, outcome)

        until = time.monotonic() + timeout_s
        waiter = _Waiter(job_id=job_id, lane=lane, patience_s=patience_s, until=until, tell=tell)
        with self._registered(self._waiters, waiter):
            return await answer

    @contextmanager
    def listen(self, to: Batch | str) -> Iterator["asyncio.Queue[Any]"]:
        """Once a tick the batch's document (None: it was deleted), or those of an owner's newest batches ("": of all).

        Raises ApiError: too many listen already.
        """
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)

        def tell(document: Any) -> None:
            loop.call_soon_threadsafe(_replace, news, document)

        with self._registered(self._listeners, _Listener(to=to, tell=tell)):
            if isinstance(to, str) and (known := self._told.get(to)) is not None:
                tell(known)
            yield news

    def look_now(self) -> None:
        """A job has ended, says somebody in this process. Safe from any thread."""
        self._news.set()

    @property
    def is_leaving(self) -> bool:
        return self._leaving

    def leave(self) -> None:
        """The server is about to leave: what no worker has begun is not waited for any more."""
        self._leaving = True
        self._news.set()

    def stop(self) -> None:
        self.leave()
        with self._lock:
            self._waiters.clear()
            self._listeners.clear()
            thread = self._thread
        if thread is not None:
            thread.join(5.0)

    @contextmanager
    def _registered(self, among: set[Any], one: Any) -> Iterator[None]:
        with self._lock:
            if len(self._waiters) + len(self._listeners) >= MAX_WAITING:
                raise ApiError(503, "too many requests wait already: try again soon", headers={"Retry-After": "5"})
            among.add(one)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
                self._thread.start()
        self._news.set()
        try:
            yield
        finally:
            with self._lock:
                among.discard(one)

    def _run(self) -> None:
        slow_at = pages_at = 0.0
        self._told, self._lists = {}, {}
        session = self.new_session()
        while True:
            with self._lock:
                waiters, listeners = list(self._waiters), list(self._listeners)
                if not waiters and not listeners:
                    self._thread = None
                    return
            self._news.clear()
            try:
                self._look_at_jobs(session, waiters)
                if time.monotonic() >= slow_at:
                    slow_at = time.monotonic() + _SLOW_TICK_S
                    self._look_at_lanes(session, waiters)
                if time.monotonic() >= pages_at:
                    pages_at = time.monotonic() + _PAGES_TICK_S
                    self._look_for_pages(session, listeners)
            except (ChartqError, RedisError, OSError) as error:
                log.debug("watching: %s", error)
            except Exception:  # whoever waits would wait for ever
                log.exception("watching: a fault in chartq, please report it")
            self._give_up(waiters)
            next_at = min(slow_at, pages_at)
            self._news.wait(_JOBS_TICK_S if waiters else max(0.0, next_at - time.monotonic()))

    def _look_at_jobs(self, session: Session, waiters: list[_Waiter]) -> None:
        if not waiters:
            return
        states = session.ledger.job_states({waiter.job_id for waiter in waiters})
        rows = {job_id: session.ledger.job(job_id) for job_id, state in states.items() if state in ENDED_STATES}
        for waiter in waiters:
            if waiter.job_id in rows:
                waiter.tell(Ended(row=rows[waiter.job_id]))
            elif self._leaving and states.get(waiter.job_id) != "started":
                waiter.tell(NotYet())

    def _look_at_lanes(self, session: Session, waiters: list[_Waiter]) -> None:
        lanes = {waiter.lane for waiter in waiters}
        for lane in lanes:
            gates = session.gates.of_lane(lane)
            hold, opens_at = lane_hold(gates), lane_opens_at(gates)
            now = gates[0].now_s if gates else 0.0
            for waiter in waiters:
                if waiter.lane != lane:
                    continue
                if hold is not None:
                    waiter.tell(Held(hold=hold))
                elif opens_at is not None and opens_at - now > waiter.patience_s:
                    waiter.tell(NotYet(opens_at=opens_at))

    def _look_for_pages(self, session: Session, listeners: list[_Listener]) -> None:
        """All documents that somebody looks at, made together."""
        owners = {listener.to for listener in listeners if isinstance(listener.to, str)}
        lists = {owner: self._list_of(session, owner) for owner in owners}
        wanted = {batch.id: batch for batches in lists.values() for batch in batches}
        for batch_id in {listener.to.batch_id for listener in listeners if isinstance(listener.to, Batch)}:
            with suppress(UnknownIdError):
                fresh = session.ledger.batch(batch_id)
                wanted[fresh.id] = fresh
        documents = {document["batch_id"]: document for document in session.statuses(wanted.values())}
        session.degraded_reason = None
        self._told = {
            owner: [documents[batch.batch_id] for batch in batches if batch.batch_id in documents]
            for owner, batches in lists.items()
        }
        for listener in listeners:
            to = listener.to
            listener.tell(self._told[to] if isinstance(to, str) else documents.get(to.batch_id))

    def _list_of(self, session: Session, owner: str) -> list[Batch]:
        """The newest batches; who is in the list is read less often than how they stand."""
        until, batches = self._lists.get(owner, (0.0, []))
        if time.monotonic() >= until:
            batches = list(islice(session.ledger.batches(owner=owner or None), LIST_LENGTH))
            self._lists = {**self._lists, owner: (time.monotonic() + _LIST_FRESH_S, batches)}
        return batches

    def _give_up(self, waiters: list[_Waiter]) -> None:
        now = time.monotonic()
        for waiter in waiters:
            if now >= waiter.until:
                waiter.tell(NotYet())


def _settle(answer: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _replace(news: "asyncio.Queue[Any]", document: Any) -> None:
    """Who reads slowly gets the newest."""
    if news.full():
        news.get_nowait()
    news.put_nowait(document)
