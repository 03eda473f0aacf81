"""Validates and submits the batches of `/v1/batches`, one after the other, in a thread of its own.

What waits stands in the ledger, and whoever validates it leases it there: a server that is killed leaves its work to
the next one, or to another that runs beside it. A submit that broke off is gone on with.
"""

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from jobs.batches import operations
from jobs.batches.session import Session
from jobs.config.settings import Settings
from jobs.core.errors import ChartqError, InputError
from jobs.core.job import Question
from jobs.ledger import Ledger
from jobs.ledger.files import PART_BYTES, StoredFile
from jobs.ledger.openai_batches import OpenAIBatch
from jobs.submit.question import PictureLimits, picture_limits
from jobs.submit.submit import Order
from jobs.submit.uploaded_batch import ReadParts, UploadedBatch

log = logging.getLogger("chartq.server")

#: Seconds between two looks for what another server has left; what comes here is taken up at once.
_LOOK_S = 5.0

#: Seconds between two signs that a batch is still being validated.
_GO_ON_S = 8.0


class Intake:
    """Started by the first who needs it."""

    def __init__(self, new_session: Callable[[], Session], work_arrived: Callable[[], None]) -> None:
        self._new_session, self._work_arrived = new_session, work_arrived
        self._lock = threading.Lock()
        self._arrived, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look for work from now on. Safe from any thread, any number of times."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
                self._thread.start()

    def look_now(self) -> None:
        """A batch waits."""
        self.start()
        self._arrived.set()

    def stop(self) -> None:
        """Leave what isn't through to the next one."""
        self._stopping.set()
        self._arrived.set()
        if self._thread is not None:
            self._thread.join(10.0)

    def _run(self) -> None:
        session = self._new_session()
        while not self._stopping.is_set():
            self._arrived.clear()
            try:
                while self._take_one(session):
                    pass
            except _LeavingError:
                return
            except (ChartqError, RedisError, OSError) as error:
                log.warning("a batch waits to be validated: %s", error)
            except Exception:  # nobody would validate any more
                log.exception("intake: a fault in chartq, please report it")
            self._arrived.wait(_LOOK_S)

    def _take_one(self, session: Session) -> bool:
        record = session.ledger.take_openai_batch(session.now())
        if record is None:
            return False
        file = session.ledger.file(record.input_file_id)
        batch = session.ledger.batch(record.batch_id)
        source = UploadedBatch(
            file_id=record.batch_id,
            parts=self._watched(session, record, file),
            question=batch.question,
            chart_root=session.settings.chart_root,
            limits=_limits_of(batch.question, session.settings),
        )
        if errors := source.errors():
            session.ledger.fail_openai_batch(record, errors, session.now())
            return True
        self._submit(session, record, source)
        return True

    def _submit(self, session: Session, record: OpenAIBatch, source: UploadedBatch) -> None:
        """All of its rows; of one that is to be canceled too, so that each request has its line."""
        order = Order(source=source, count_rehearsals=session.settings.rehearsal)
        batch, canceled = session.ledger.batch(record.batch_id), self._is_cancelling(session, record)
        try:
            session.submit(order, into=batch, enqueues=not canceled, progress=lambda _: self._work_arrived())
        except InputError as error:  # canceled by another way than OpenAI's
            log.info("batch %s: %s", record.batch_id, error)
        session.ledger.openai_batch_submitted(record, session.now())
        if self._is_cancelling(session, record):
            operations.cancel(session, session.ledger.batch(record.batch_id))

    @staticmethod
    def _is_cancelling(session: Session, record: OpenAIBatch) -> bool:
        return session.ledger.openai_batch(record.batch_id).cancelling_at is not None

    def _watched(self, session: Session, record: OpenAIBatch, file: StoredFile) -> ReadParts:
        """The file's parts; reading them says that we go on, and ends when we don't."""
        read, said_at = parts_of(session.ledger, file), time.monotonic()

        def watched(offset: int) -> bytes:
            nonlocal said_at
            if self._stopping.is_set():
                raise _LeavingError
            if time.monotonic() - said_at > _GO_ON_S:
                said_at = time.monotonic()
                session.ledger.openai_batch_goes_on(record, session.now())
            return read(offset)

        return watched


class _LeavingError(Exception):
    """The server leaves: the batch is validated again by the next one."""


def _limits_of(question: Question, settings: Settings) -> PictureLimits:
    """Those of when the batch was made: another server's settings must not make other jobs of its rest."""
    if question.image_max_side is None or question.image_max_bytes is None:
        return picture_limits(settings)
    return {"image_max_side": question.image_max_side, "image_max_bytes": question.image_max_bytes}


def parts_of(ledger: Ledger, file: StoredFile) -> ReadParts:
    """The file's bytes from an offset on, a part at a time."""
    return lambda offset: ledger.file_part(file.id, offset // PART_BYTES)[offset % PART_BYTES :]
