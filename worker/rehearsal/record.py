"""What the stand-in saw: the calls in the order of their arrival."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Call:
    """One call (a POST that asks a model); `status` and `ended_at` are filled in when it is answered."""

    #: Arrival, Unix time in seconds.
    at: float
    path: str
    model: str | None
    prompt: str
    image_sha256: str | None
    #: Pictures that came along, and URLs of more.
    image_count: int
    image_urls: Sequence[str]
    image_size: tuple[int, int] | None
    image_format: str | None
    #: Calls in flight at its arrival, itself included.
    concurrent: int
    token_fingerprint: str | None
    #: Those headers that say something about the client; never the token.
    headers: Mapping[str, str]
    #: The body without the image.
    body: Mapping[str, Any]
    #: What was decided at arrival: "answer", a status or the name of a fault.
    outcome: int | str
    #: None while unanswered; it stays so if the connection was dropped or hung.
    status: int | None = None
    ended_at: float | None = None


class Record(list[Call]):
    """All calls so far. May be read while the server runs: one thread's append is whole to the others."""

    def __init__(self) -> None:
        super().__init__()
        #: Paths of the GETs: model lists and model status, which are no calls.
        self.lookups: list[str] = []

    def clear(self) -> None:
        super().clear()
        self.lookups.clear()

    def with_status(self, status: int | None) -> int:
        """How many calls were answered so."""
        return sum(1 for call in self if call.status == status)

    @property
    def most_concurrent(self) -> int:
        return max((call.concurrent for call in self), default=0)

    def most_within(self, window_s: float) -> int:
        """The most arrivals in any interval of this length, refused ones included."""
        times = sorted(call.at for call in self)
        return max((bisect_right(times, at + window_s) - index for index, at in enumerate(times)), default=0)

    def as_json(self) -> dict[str, Any]:
        """The record as GET /rehearsal/record gives it."""
        return {"calls": [asdict(call) for call in self], "lookups": list(self.lookups)}
