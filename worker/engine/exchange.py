"""What a worker and the lanes tell each other: leases one way, settlements the other. Values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "throttled", "unreachable", "transient", "hold", "suspect", "unused", "gone"]
Move = Literal["finished", "failed", "front", "back", "delay", "alone", "drop", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A job that this worker holds, and the permit that came with it."""

    job: str
    execution: str
    queue: str
    lane: str
    account: str = ""
    generation: str = ""
    spent_ms: int = 0
    data: str = ""
    probe: int = 0
    suspect: int = 0
    alone: int = 0


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What Redis is to hear of an execution: a verdict for the gate, a move for the job, or both."""

    lease: Lease
    verdict: Verdict | None = None
    to: Move | None = None
    hint_s: float | None = None
    why: str | None = None
    scope: str | None = None
    reason: str | None = None
    message: str | None = None
    delay_s: float | None = None
    error: str | None = None
    #: Of a call that was answered, but not with an answer: failures that say the same have the same.
    kind: str | None = None
    took_s: float = 0.0
    jitter: float = 0.0
    #: Whose execution it was, if not this worker's own.
    worker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A gate that this poll's answers have closed."""

    lane: str
    #: throttled, loading, unreachable or outage.
    why: str
    #: Unix time.
    until_s: float


@dataclass(frozen=True, kw_only=True)
class PollResult:
    """What came of one poll."""

    leases: Sequence[Lease]
    #: Ids found on our queues that are no jobs of ours.
    refused: Sequence[str]
    #: Seconds after which it is worth looking again.
    wait_s: float
    #: Lanes that will have work without anybody's help.
    waiting: int
    #: Attempts that an outage ate: job id -> how many to give back.
    give_back: Mapping[str, int]
    suspended: bool
    #: Something speaks against beginning the jobs in hand.
    recalled: bool = False
    closings: Sequence[Closing] = ()


@dataclass(frozen=True, kw_only=True)
class HeartbeatReply:
    """What a heartbeat learned."""

    #: Since when this Redis remembers us; another value than before: it has lost everything in between.
    known_since_ms: int
    #: Executions that are somebody else's now.
    lost: Sequence[str]
    #: Our RQ queues.
    queues: Sequence[str]
