"""What a job is: a question about pictures, one, several or none. Its id is a pure function of both.

The wire (what stands in Redis) is the id alone; everything else stands in the ledger.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Api = Literal["chat", "task"]

#: Served by several providers in 2026, without thinking aloud.
DEFAULT_VISION_MODEL = "Qwen/Qwen3-VL-30B-A3B-Instruct"
DEFAULT_TEXT_MODEL = "Qwen/Qwen3-235B-A22B-Instruct-2507"

Task = Literal["visual-question-answering", "image-to-text"]

#: The states of a job, RQ's words; the first three are open, the others ended.
OPEN_STATES = ("queued", "started", "scheduled")
ENDED_STATES = ("finished", "failed", "canceled")

#: Hexadecimal digits of an id: 128 bits, far beyond accidental collisions of 10^12 charts.
_ID_DIGITS = 32

#: The bytes of a picture that has no file of its own, by its SHA-256; None if there is none.
Pictures = Callable[[str], bytes | None]

#: The parameter that holds a whole conversation, see `Question.messages`. Nobody else may set it.
MESSAGES = "messages"


#: The limits of a question without a picture, and those that every picture had before they were the question's: such
#: questions keep the ids that they had then.
NO_LIMITS, FIRST_LIMITS = (None, None), (1024, 1_000_000)


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that ids are worked out from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of every chart of a batch: everything that shapes the call except the pictures."""

    prompt: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    api: Api = "chat"
    #: Which classic body carries the question; None with `api="chat"`.
    task: Task | None = None
    #: What a picture is reduced to before it is sent: pixels of its longer side, bytes. None: no picture, or asked by
    #: a version whose workers decided that.
    image_max_side: int | None = None
    image_max_bytes: int | None = None

    @property
    def id(self) -> str:
        parts: list[Any] = [self.prompt, self.model, dict(self.parameters), self.api, self.task]
        limits = self.image_max_side, self.image_max_bytes
        if limits not in (NO_LIMITS, FIRST_LIMITS):
            parts += limits
        return _digest(canonical_json(parts).encode())

    @property
    def messages(self) -> Sequence[Any] | None:
        """Chat messages with a slot for each picture (jobs/submit/messages.py); None: the prompt and the pictures."""
        return self.parameters.get(MESSAGES)

    @property
    def picture_limits(self) -> tuple[int, int]:
        """What its pictures are reduced to: pixels of the longer side, bytes."""
        if self.image_max_side is None or self.image_max_bytes is None:
            return FIRST_LIMITS
        return self.image_max_side, self.image_max_bytes

    @property
    def lane(self) -> str:
        """All jobs of one API kind and model share the provider's limits, hence a lane."""
        return f"{self.api}:{self.model}"


def is_model_id(text: str) -> bool:
    """Whether a model may be called so. Of more characters than any name has, something else was pasted."""
    return 1 <= len(text) <= 300 and " " not in text and text.isprintable()


def model_of(lane: str) -> str:
    """The model id within a lane's name."""
    return lane.partition(":")[2]


def job_id(subject: str, question_id: str) -> str:
    """The same pictures with the same question are one job, in any batch and any run. `subject`: see `subject_of`.

    >>> job_id("ab" * 32, "cd" * 16) == job_id("ab" * 32, "cd" * 16)
    True
    """
    return _digest(f"{subject}:{question_id}".encode())


def subject_of(hashes: Sequence[str]) -> str:
    """What a job is about: the SHA-256 of its picture; of several, in their order; "" for text alone.

    A URL is known by its own hash (`url_hash`): what lies there may change, and nobody here looks.
    """
    return ",".join(hashes)


def url_hash(url: str) -> str:
    """What stands in a picture's hash's place for one that the provider fetches."""
    import hashlib  # see `_digest`

    return f"url-{hashlib.sha256(url.encode()).hexdigest()}"


def _digest(data: bytes) -> str:
    import hashlib  # brings OpenSSL, a twentieth of a command's start: who only looks works out no id

    return hashlib.sha256(data).hexdigest()[:_ID_DIGITS]
