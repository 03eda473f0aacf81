"""A ledger as months of work leave it: written through the ledger's own methods."""

import hashlib
import time
from collections.abc import Iterator, Sequence

from jobs.core.job import Question, job_id
from jobs.core.pages import pages
from jobs.ledger import AnswerRow, Batch, Change, Failed, Finished, Ledger, NewMember

_QUESTION = Question(prompt="Is the trend up, down or sideways? Name the pattern if you see one.", model="org/model")
_TEXT = (
    "The trend is **up**: higher highs and higher lows since early March, above a rising 50-day average. "
    "An ascending triangle lies below 148; a close above it would confirm a move towards 160."
)
_RAW = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion",
    "created": 1_800_000_000,
    "model": "org/model",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": _TEXT}}],
    "usage": {"prompt_tokens": 1103, "completion_tokens": 61, "total_tokens": 1164},
}
_ANSWER = AnswerRow(
    text=_TEXT, raw=_RAW, prompt_tokens=1103, completion_tokens=61, latency_s=2.5, request_id="r-1", provider="p"
)
_CHUNK = 1000


def fill(ledger: Ledger, charts: int, *, first: int = 0) -> Batch:
    """A batch of so many charts, from chart number `first` on: of a hundred 90 are answered, 5 failed, 5 queued."""
    batch = ledger.open_batch(
        question=_QUESTION,
        name=None,
        fingerprint=f"{charts}-{first}",
        sources=["/charts"],
        priority="normal",
        now=time.time(),
    )
    for chunk in pages(range(first, first + charts), _CHUNK):
        rows = [_member(number, first) for number in chunk]
        queued = ledger.add_members(batch, rows, refresh=False, count_rehearsals=False, now=time.time()).queue
        ledger.start([(one, "e") for one in queued if _fate(one) != "queued"], time.time())
        ledger.record(list(_outcomes(queued)), time.time())
    ledger.seal(batch, time.time())
    return ledger.batch(batch.batch_id)


def _member(number: int, first: int) -> NewMember:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    name = f"{number // 1000:03d}/chart-{number:06d}.png"
    return NewMember(
        position=number - first,
        custom_id=name,
        job_id=job_id(sha256, _QUESTION.id),
        image_sha256=sha256,
        image=f"/charts/{name}",
    )


def _fate(job: str) -> str:
    drawn = int(job[:8], 16) % 100
    return "failed" if drawn < 5 else "queued" if drawn < 10 else "finished"


def _outcomes(job_ids: Sequence[str]) -> Iterator[Change]:
    for job in job_ids:
        if _fate(job) == "finished":
            yield Finished(job_id=job, execution_id="e", answer=_ANSWER)
        elif _fate(job) == "failed":
            yield Failed(job_id=job, execution_id="e", error_type="BadRequest", message="too large", status_code=413)
