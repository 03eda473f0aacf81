"""The provider: the rehearsal server with bad weather, and what it remembers of every job."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from worker.rehearsal import Behaviour, Call, Fault, ParsedRequest, Rehearsal
from worker.rehearsal.behaviour import Hints

#: A picture (SHA-256 of its bytes as they were sent) and a question: what makes a job.
Key = tuple[str, str]

#: What a call may meet on any day, and how often in a thousand.
_BAD_LUCK: Mapping[Fault, int] = {
    500: 10,
    502: 5,
    "drop": 8,
    "drop-midway": 5,
    "null-content": 5,
    "empty-content": 3,
    "error-in-200": 3,
    "throttled": 6,
    "loading": 3,
}

#: Faults that cost a job an attempt; refusals don't.
REFUSALS: frozenset[int | str] = frozenset({429, "throttled", "overloaded", "loading"})

#: A chart that can't be processed: it fails at once, and costs no attempt more.
UNPROCESSABLE = 422

#: What poison charts get, each always the same: all but the first look like bad luck until the attempts are spent.
POISONS: Sequence[Fault] = (UNPROCESSABLE, 500, "drop", "hang")

_LATENCY_S = 0.8


class Provider:
    """Answers, mostly. `poison`: the pictures that it never answers, by SHA-256."""

    def __init__(self, seed: int) -> None:
        self.poison: dict[str, Fault] = {}
        self._rng = random.Random(seed)
        self._lucky = False
        self._fair = {"fault": None, "latency_s": _LATENCY_S, "max_concurrency": None, "hints": "none", "hint_s": 1.0}
        self.server = Rehearsal(Behaviour(look=False, latency_s=_LATENCY_S, fault_for=self._fault_of))

    def begin(self, what: str, pick: int) -> None:
        """Bad times; what was bad before is over."""
        hints = get_args(Hints)[pick % len(get_args(Hints))]
        if what == "away":
            self.server.stop()
            return
        changes: Mapping[str, dict[str, Any]] = {
            "refusing": {"fault": 429, "hints": hints, "hint_s": 0.5 + pick % 3},
            "loading": {"fault": "loading", "hint_s": 0.5 + pick % 3},
            "failing": {"fault": (500, 502, 503, 504)[pick % 4]},
            "silent": {"fault": "hang"},
            "slow": {"latency_s": 3.0},
            "crowded": {"max_concurrency": 3},
        }
        self.server.behave(**self._fair | changes[what])

    def end(self) -> None:
        """Good times again. Calls that hang are hung up on."""
        hung = self.server.behaviour.fault == "hang"
        self.server.behave(**self._fair)
        if hung:
            self.server.stop()
        if not self.runs:
            self.server.start()

    @property
    def runs(self) -> bool:
        return self.server._http is not None

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer, as far as can be told."""
        since = time.time() - 2 * _LATENCY_S
        return sum(
            call.status is None and call.outcome == "answer" and call.at > since for call in self.server.record[-60:]
        )

    def calm(self) -> None:
        """From now on nothing goes wrong but what must."""
        self._lucky = True
        self.end()

    def _fault_of(self, asked: ParsedRequest) -> Fault | None:
        if poison := self.poison.get(asked.image_sha256 or ""):
            return poison
        luck = self._rng.randrange(1000)
        if self._lucky or luck >= sum(_BAD_LUCK.values()):
            return None
        return self._rng.choices(list(_BAD_LUCK), list(_BAD_LUCK.values()))[0]


@dataclass(frozen=True)
class Asking:
    """A call, numbered as its answer is."""

    number: int
    call: Call

    @property
    def key(self) -> Key:
        return self.call.image_sha256 or "", self.call.prompt

    @property
    def execution(self) -> str:
        return self.call.headers.get("x-amzn-trace-id", "")

    @property
    def answered(self) -> bool:
        """A good answer was sent, whether or not anybody was there to have it."""
        return self.call.outcome == "answer" and self.call.status == 200

    @property
    def took_s(self) -> float:
        return max(0.0, (self.call.ended_at or 0.0) - self.call.at)

    @property
    def costs_an_attempt(self) -> bool:
        return not self.answered and self.call.outcome not in REFUSALS and self.call.outcome != UNPROCESSABLE


def askings(record: Iterable[Call]) -> list[Asking]:
    """All calls that asked something, in the order of their numbers."""
    asked = [call for call in record if call.model]
    return [Asking(number, call) for number, call in enumerate(asked, start=1)]


def by_key(calls: Iterable[Asking]) -> Mapping[Key, Sequence[Asking]]:
    """What was asked about each job."""
    found: dict[Key, list[Asking]] = defaultdict(list)
    for asking in calls:
        found[asking.key].append(asking)
    return found


def number_of(raw: Any) -> int:
    """The number of the call that an answer belongs to. Raises ValueError if it is none of ours."""
    start, _, number = str(raw["id"]).rpartition("-")
    if start != "chatcmpl-rehearsal":
        raise ValueError(f"no answer of ours: {raw['id']}")
    return int(number)
