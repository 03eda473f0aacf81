"""`run`: submit, work and watch in one process, until the batch has ended or needs the user."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from redis.exceptions import RedisError

from jobs.batches.follow import DONE, ON_HOLD, POLL_INTERVAL_S, SOME_FAILED, exit_code, look
from jobs.batches.plan import plan_of_batch
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument
from jobs.cli.console import messages
from jobs.cli.main import FAILED, SIGNAL_CODES
from jobs.cli.watching import Watching, watched
from jobs.core.errors import ChartqError
from jobs.core.text import counted
from jobs.ledger import Batch, StoreUnavailableError
from jobs.submit.submit import Order, Submitted
from worker.engine.factory import build_worker
from worker.engine.hooks import NO_HOOKS, Hooks
from worker.engine.worker import ChartWorker
from worker.hf.prices import prices_of
from worker.monitoring.liveness import liveness_file


@dataclass(kw_only=True)
class Run:
    """A submit and the watch over its batch, in a thread beside the worker's main thread."""

    session: Session
    order: Order
    worker: ChartWorker
    watching: Watching
    #: Whether to say what is ahead, once all is submitted; calls are made meanwhile.
    tells_plan: bool = False
    submitted: Submitted | None = None
    #: The order about this batch's answers, if there is a second stage.
    then: Callable[[Batch], Order] | None = None
    #: Where the batch stands; of two stages the second one's, as soon as there is one.
    document: BatchDocument | None = None
    first_document: BatchDocument | None = None
    error: Exception | None = None

    def work(self) -> None:
        """Run worker and watch until both are through. Call from the main thread."""
        watch = threading.Thread(target=self._submit_and_watch, name="watch", daemon=True)
        watch.start()
        self.worker.shutdown.overdue_code = lambda number: 128 + (number or 0) if number else 1
        try:
            self.worker.run()
        finally:
            self.worker.stop()
            self._stopped.set()
            watch.join()  # or it would look through a session that is closed

    @property
    def exit_code(self) -> int:
        """The command's: what the stages say, else that of the signal that ended it."""
        return SIGNAL_CODES.get(self.worker.shutdown.signal_received or 0, FAILED) if self.code is None else self.code

    @property
    def code(self) -> int | None:
        """The exit code over all stages; None while one is unfinished."""
        documents = [one for one in (self.first_document, self.document) if one]
        codes = [exit_code(one) for one in documents]
        if ON_HOLD in codes:
            return ON_HOLD
        return None if not codes or None in codes else max(code for code in codes if code is not None)

    @property
    def last_document(self) -> BatchDocument | None:
        """What the command ends with: of two stages the second one's, or the first one's where nothing came of it."""
        return self.document or self.first_document

    def __post_init__(self) -> None:
        self._stopped = threading.Event()

    def _submit_and_watch(self) -> None:
        try:
            self._submit()
            self._plan()
            self._watch()
        except (ChartqError, RedisError, OSError, MemoryError, RuntimeError, _InterruptedSubmit) as error:
            self.error = None if isinstance(error, _InterruptedSubmit) else error
        finally:
            self.worker.stop()

    def _submit(self) -> None:
        if self.submitted is not None:  # a rehearsal's, which is through before its clock starts
            return
        self.submitted = self.session.submit(
            self.order, resume_existing=True, progress=self._note, opened=self._stop_if_told
        )
        self.worker.wake()

    def _plan(self) -> None:
        done = self.submitted
        if not self.tells_plan or done is None or done.batch is None:
            return
        with suppress(RedisError, StoreUnavailableError):  # the run goes on, and may say it is waiting for them
            document = self.session.status(done.batch)
            planned = plan_of_batch(self.session, self.order, done, document, prices_of)
            self.watching.tell("\n".join(planned.lines(asked=False)))

    def _note(self, so_far: Submitted) -> None:
        self.watching.line(f"{counted(so_far.total, 'chart')} submitted")
        self.worker.wake()

    def _stop_if_told(self, _batch: Batch) -> None:
        if self.worker.shutdown.is_requested:
            raise _InterruptedSubmit

    def _watch(self) -> None:
        batch = self.submitted.batch if self.submitted else None
        if batch is None:
            return
        stage = _Stage(self.session, self.then(batch)) if self.then else None
        while True:
            if document := look(self.session, batch):
                self._note_status(document, stage)
            if self.code is not None or self._stopped.wait(POLL_INTERVAL_S):
                break
        self.worker.stop()
        self._stopped.wait()
        # Without a live worker a hold shows less clearly (jobs/lanes/gates.py): what was seen, was seen.
        if stage is not None:
            if self.code is None:
                self.first_document = look(self.session, batch) or self.first_document
                self.document = stage.look() or self.document
            return
        last = look(self.session, batch)
        if last is not None and (self.code is None or exit_code(last) is not None):
            self.document = last

    def _note_status(self, document: BatchDocument, stage: "_Stage | None") -> None:
        if stage is None:
            self.document = document
        else:
            self.first_document = document
            if stage.take_up(document):
                self.worker.wake()
            self.document = stage.look() or self.document
        self.watching.show(*filter(None, (self.first_document, self.document)))


def run_order(
    session: Session,
    order: Order,
    *,
    concurrency: int,
    grace_s: float,
    quiet: bool = False,
    submitted: Submitted | None = None,
    hooks: Hooks = NO_HOOKS,
    then: Callable[[Batch], Order] | None = None,
) -> Run:
    """Run an order to its end in this process, with the live panel; Ctrl-C and SIGTERM are listened to.

    `submitted`: the order was submitted already. `then`: the order of a second stage, about the batch's answers.
    Raises what submit and watch raise.
    """
    with watched(session, messages(), quiet=quiet) as watching, liveness_file(session.settings.chartq_home) as liveness:

        def polled() -> None:
            liveness.stamp()
            hooks.polled()

        watching_too = replace(hooks, polled=polled)
        worker = build_worker(session, concurrency=concurrency, grace_s=grace_s, hooks=watching_too)
        worker.shutdown.listen_to_signals()
        running = Run(
            session=session,
            order=order,
            worker=worker,
            watching=watching,
            tells_plan=not quiet and submitted is None,
            submitted=submitted,
            then=then,
        )
        running.work()
    if running.error is not None:
        raise running.error
    return running


class _Stage:
    """The second stage of a run: asks about the first one's answers as they come."""

    def __init__(self, session: Session, order: Order) -> None:
        self._session, self._order = session, order
        self._asked_about = 0
        self._is_whole = False
        self._batch: Batch | None = None

    def take_up(self, source: BatchDocument) -> bool:
        """Submit what the source (by its document) has answered since. Returns whether there was anything."""
        ended = exit_code(source) in (DONE, SOME_FAILED)
        finished = source["request_counts"]["finished"]
        if self._is_whole or (finished == self._asked_about and not ended):
            return False
        done = self._session.submit(self._order, more_to_come=not ended)
        self._asked_about, self._is_whole, self._batch = finished, ended, done.batch
        return True

    def look(self) -> BatchDocument | None:
        return look(self._session, self._batch) if self._batch is not None else None


class _InterruptedSubmit(Exception):
    """Somebody wants to leave: the batch stays unsealed, and the next `run` goes on with it."""
