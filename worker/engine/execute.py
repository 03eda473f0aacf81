"""The task: read the pictures, prepare them, make one call, say what came of it. No queue, no ledger, no waiting."""

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from jobs.charts.storage import read_chart
from jobs.core.errors import ChartqError, ImageError, SchemaError
from jobs.core.job import MESSAGES, Pictures, Question
from jobs.core.memory import out_of_memory
from jobs.core.places import is_url, split_pictures
from jobs.ledger import StartedJob
from worker.engine.policy import Outcome, decide, machines_fault_s
from worker.engine.shared_pictures import Made, PictureKey, SharedPictures
from worker.engine.structured import check_of, checked
from worker.hf.client import HuggingFaceClient
from worker.hf.errors import HFAPIError, HFRequestError
from worker.hf.replies import Answer
from worker.hf.request_body import ImageToSend, ImageUrl
from worker.image_processor import preprocess_chart_image

#: Charts held at a time in one process until they are ready to be sent, and those of them that are decoded: a file
#: has up to 64 MB, decoded it takes up to 200, and a hundred calls may begin at once. More are read than decoded, since
#: a network share may be slow.
_IN_PREPARATION, _DECODERS = threading.BoundedSemaphore(8), threading.BoundedSemaphore(4)


class ChartChangedError(ImageError):
    """The file is no longer the one that was submitted; its answer would be another picture's."""


class StoppedError(ChartqError):
    """Somebody stopped this job (`rq`'s stop-job) while its call was in flight."""

    def __init__(self) -> None:
        super().__init__("stopped by hand while its call was in flight: chartq retry asks again")


@dataclass(frozen=True, kw_only=True)
class ExecutionResult:
    """What came of one execution."""

    outcome: Outcome
    answer: Answer | None = None
    error: Exception | None = None
    #: Whether the provider was called, and thus a permit used.
    called: bool = False
    latency_s: float = 0.0
    #: What the model was shown: {"format", "width", "height", "bytes"} of its picture; of several a list.
    sent: Any = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """How this worker asks: fixed for its lifetime."""

    client: HuggingFaceClient
    chart_root: Path | None
    #: Seconds for one whole call, with pictures and without.
    timeout_s: float
    text_timeout_s: float
    max_attempts: int
    retry_delay_s: float
    #: Where else a job's chart may lie: the same picture, submitted from several places.
    other_images: Callable[[str], list[str]] = lambda _job_id: []
    #: Pictures that have no file.
    pictures: Pictures = lambda _sha256: None
    #: How often this machine has failed a job: those that it fails now.
    _faults: Counter[str] = field(default_factory=Counter)
    _shared: SharedPictures = field(default_factory=SharedPictures)

    def perform(
        self, job: StartedJob, question: Question, *, suspect: bool = False, ready: Callable[[], object] = lambda: None
    ) -> ExecutionResult:
        """Make the call. Never raises for anything that a chart, a server or a network can do; a machine without
        memory or threads can make it raise.

        `suspect`: others pass where this job is refused, so that its refusals count as attempts. `ready` is called when
        the pictures are: the call leaves now.
        """
        ended = partial(self._ended, job, suspect=suspect)
        try:
            mismatch = check_of(question)
            prepared = [self._picture(job, question, place) for place in range(len(split_pictures(job.image)))]
        except (ImageError, SchemaError) as error:
            return ended(error)
        except MemoryError as error:
            return ended(out_of_memory(error))
        ready()
        started = time.monotonic()
        try:
            answer = self.client.ask(
                model=question.model,
                prompt=question.prompt,
                images=[image for image, _ in prepared],
                parameters={name: value for name, value in question.parameters.items() if name != MESSAGES},
                messages=question.messages,
                api=question.api,
                task=question.task,
                timeout_s=self.timeout_s if prepared else self.text_timeout_s,
                trace_id=job.execution_id,
            )
            if mismatch is not None:
                answer = checked(answer, mismatch)
        except ImageError as error:  # changed since, and the server had closed the connection before it was heard
            return ended(error)
        except HFAPIError as error:
            called = error.status_code is not None or not isinstance(error, HFRequestError)  # else it can't be asked
            return ended(error, called=called, latency_s=time.monotonic() - started)
        shown = [sent for _, sent in prepared]
        return replace(
            ended(None, called=True, answer=answer, latency_s=time.monotonic() - started),
            sent=shown if len(shown) > 1 else next(iter(shown), None),
        )

    def cut(self, execution_id: str) -> None:
        """End an execution's call, if it is in flight."""
        self.client.cut(execution_id)

    def _ended(
        self,
        job: StartedJob,
        error: Exception | None,
        *,
        suspect: bool,
        called: bool = False,
        answer: Answer | None = None,
        latency_s: float = 0.0,
    ) -> ExecutionResult:
        outcome = self.decided(error, job, suspect=suspect)
        return ExecutionResult(outcome=outcome, answer=answer, error=error, called=called, latency_s=latency_s)

    def decided(self, error: Exception | None, job: StartedJob, *, suspect: bool = False) -> Outcome:
        """What to do with a job whose execution ended in `error` (None: it was answered)."""
        if machines_fault_s(error) is None:
            self._faults.pop(job.job_id, None)
        else:
            self._faults[job.job_id] += 1
        return decide(
            error,
            attempts=job.attempts + 1,
            max_attempts=self.max_attempts,
            retry_delay_s=self.retry_delay_s,
            jitter=random.random(),
            refusal_counts=suspect,
            faults=self._faults[job.job_id],
        )

    def _picture(self, job: StartedJob, question: Question, place: int) -> tuple[ImageToSend | ImageUrl, Any]:
        """The picture in this place, and what is told of it: nothing of one that the provider fetches."""
        stored = split_pictures(job.image)[place]
        if is_url(stored):
            return ImageUrl(stored), None
        told: dict[str, Any] = {}
        image = ImageToSend(partial(self._image, job, question, place, told))
        return image, {name: told[name] for name in ("format", "width", "height", "bytes")}

    def _image(self, job: StartedJob, question: Question, place: int, told: dict[str, Any]) -> bytes:
        """The bytes to send; `told` is filled with what they are."""
        max_side, max_bytes = question.picture_limits
        with _IN_PREPARATION:
            data = self._submitted_bytes(job, place)
            # Every job reads and hashes its file: one that has changed is told, and nobody gets another's picture.
            key = PictureKey(_sha256(job, place), max_side, max_bytes)
            image, metadata = self._shared.get(key, job.question_id, partial(_prepared, data, max_side, max_bytes))
        told.update(metadata)
        return image

    def _submitted_bytes(self, job: StartedJob, place: int) -> bytes:
        """The picture that was submitted, wherever it still lies; the error names what the first place holds now."""
        stored, sha256 = split_pictures(job.image)[place], _sha256(job, place)
        try:
            return self._verified(stored, sha256)
        except ImageError:
            for other in self.other_images(job.job_id):
                if other != job.image:
                    try:
                        return self._verified(split_pictures(other)[place], sha256)
                    except ImageError:
                        continue
            raise

    def _verified(self, stored: str, sha256: str) -> bytes:
        data = read_chart(stored, self.chart_root, self.pictures)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ChartChangedError(
                f"{stored!r} was changed after it was submitted (submitted: {sha256[:12]}, now: "
                f"{found[:12]}): submit it again"
            )
        return data


def _sha256(job: StartedJob, place: int) -> str:
    """Of the file that was submitted."""
    return job.image_sha256.split(",")[place]


def _prepared(data: bytes, max_side: int, max_bytes: int) -> Made:
    with _DECODERS:
        return preprocess_chart_image(data, max_side=max_side, max_bytes=max_bytes)
