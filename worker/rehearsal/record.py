"""What the stand-in saw: the calls in the order of their arrival."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any, overload


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


@dataclass
class Record(Sequence[Call]):
    """All calls so far; a sequence that may be read while the server runs."""

    _calls: list[Call] = field(default_factory=list)
    #: Paths of the GETs: model lists and model status, which are no calls.
    lookups: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @overload
    def __getitem__(self, index: int) -> Call: ...
    @overload
    def __getitem__(self, index: slice) -> list[Call]: ...
    def __getitem__(self, index: int | slice) -> Call | list[Call]:
        return self.calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
            self.lookups.clear()

    def with_status(self, status: int | None) -> int:
        """How many calls were answered so."""
        return sum(1 for call in self.calls if call.status == status)

    @property
    def statuses(self) -> Counter[int | None]:
        return Counter(call.status for call in self.calls)

    @property
    def most_concurrent(self) -> int:
        return max((call.concurrent for call in self.calls), default=0)

    def most_within(self, window_s: float) -> int:
        """The most arrivals in any interval of this length, refused ones included."""
        times = sorted(call.at for call in self.calls)
        return max((bisect_right(times, at + window_s) - index for index, at in enumerate(times)), default=0)

    def as_json(self) -> dict[str, Any]:
        """The record as GET /rehearsal/record gives it."""
        return {"calls": [asdict(call) for call in self.calls], "lookups": list(self.lookups)}
