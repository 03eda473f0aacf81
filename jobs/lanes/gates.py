"""Gates: may an account call for a lane now, and if not, until when and why? Read and opened here.

Who closes them is the worker, with every answer that it settles; the rules stand in `lua/4_gates.lua` and
`lua/5_feedback.lua`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.controls import NO_CONTROLS, PAUSED, Controls
from jobs.core.job import model_of
from jobs.core.rates import RateLimits, Window, smallest
from jobs.lanes.queues import LaneQueues
from jobs.lanes.scripts import Scripts, text

if TYPE_CHECKING:
    from redis import Redis

#: Clocks that differ by less tell the same.
_SAME_S = 1.0

#: A worker that hasn't been heard of for this long is no longer counted; it speaks every 5 s.
WORKER_LIVE_S = 15.0


def account_of(*, base_url: str, token: str | None, bill_to: str | None) -> str:
    """A fingerprint of who pays where: endpoint, token, organisation. The token can't be read back."""
    secret = json.dumps([base_url, token or "", bill_to or ""]).encode()
    return hashlib.blake2s(secret, digest_size=6, person=b"chartq").hexdigest()


@dataclass(frozen=True, kw_only=True)
class WorkerEntry:
    """What a worker publishes with every heartbeat."""

    accounts: Mapping[str, str]  # API kind -> account
    limits: RateLimits = field(default_factory=RateLimits)
    ceiling: int | None = None
    seen_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As it is published; Redis adds `seen_s`."""
        return {"accounts": dict(self.accounts), "limits": self.limits.to_json(), "ceiling": self.ceiling}

    @classmethod
    def from_json(cls, text: bytes | str) -> "WorkerEntry":
        """Raises ValueError, KeyError or TypeError for what no worker of ours wrote."""
        data = json.loads(text)
        return cls(
            accounts=dict(data["accounts"]),
            limits=RateLimits.from_json(data["limits"]),
            ceiling=data.get("ceiling"),
            seen_s=float(data["seen_s"]),
        )


def merged_limits(entries: Iterable[WorkerEntry]) -> tuple[RateLimits, int | None]:
    """Budget and ceiling that hold where workers of one account differ: the smallest."""
    entries = list(entries)
    ceilings = [entry.ceiling for entry in entries if entry.ceiling is not None]
    return smallest(*(entry.limits for entry in entries)), min(ceilings, default=None)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How one account's gate for one lane stands. Times are by the reader's own clock."""

    account: str
    lane: str
    live: bool = False  #: a live worker brings this account
    reason: str | None = None  #: on hold, and why: paused, token, credits, ...
    message: str | None = None
    since_s: float | None = None  #: on hold since
    until_s: float | None = None  #: closed until, when that lies ahead
    why: str | None = None  #: closed because of: throttled, loading, unreachable, outage
    wait_s: float = 0.0  #: until the next permit, as far as is known; 0: now
    budget_wait_s: float = 0.0  #: the part of it that is the budget's
    probing: bool = False
    limit: int | None = None  #: concurrency in force below the ceiling
    ceiling: int | None = None
    in_flight: int = 0
    windows: tuple[Window, ...] = ()
    spent: tuple[int, ...] = ()  #: permits in each window now
    now_s: float = 0.0
    ahead_s: float = 0.0  #: that clock's difference to Redis's
    seen_s: float = 0.0  #: when a worker last brought this account
    of_workers: tuple[Window, ...] = ()  #: the part of the windows that is the workers' own
    set_limit: str | None = None  #: what somebody has set beside it, and who

    @property
    def held(self) -> bool:
        return self.reason is not None

    @property
    def opens_in_s(self) -> float:
        """Seconds until it is open and its budget has room; 0 or less: now."""
        return max((self.until_s or 0.0) - self.now_s, self.budget_wait_s)

    @classmethod
    def untouched(cls, lane: str, windows: tuple[Window, ...]) -> "Gate":
        """A gate as a first worker with this budget finds it."""
        return cls(account="", lane=lane, windows=windows, spent=(0,) * len(windows))


#: Why nothing is called for while RQ's own switch is off, and what to do.
SUSPENDED = "`rq suspend` has stopped all workers of this Redis: rq resume lets them go on"


class Gates:
    """Reads and opens gates, which go by Redis's clock, or a rehearsal's."""

    def __init__(
        self, redis: "Redis", clock: Clock = SYSTEM_CLOCK, controls: Callable[[], Controls] = lambda: NO_CONTROLS
    ) -> None:
        """`controls`: what people have paused and limited, as the ledger has it now."""
        self._redis, self._clock, self._controls = redis, clock, controls
        self._scripts, self._queues = Scripts(redis, clock), LaneQueues(redis, clock)

    def of_lane(self, lane: str) -> list[Gate]:
        """The gates that live workers bring to this lane; without such, the one that was brought last.

        An account that nobody brings any more, of a token that was replaced say, no longer counts. Where no worker
        has been yet there is one only if it is on hold.
        """
        gates = [gate for gate in self.all(extra_lanes=[lane]) if gate.lane == lane]
        if not gates:
            gates = [gate for gate in [self.unbrought(lane)] if gate.held]
        if not gates:  # what holds an account holds for a lane too that it was never brought to
            former = [gate for gate in self.all(extra_lanes=[lane], former=True) if gate.lane == lane]
            return [gate for gate in _brought_last(former) if gate.held]
        return [gate for gate in gates if gate.live] or _brought_last(gates)

    def unbrought(self, lane: str) -> Gate:
        """The lane's gate for any first worker: what people have paused, limited or suspended holds for it too."""
        return self._describe([("", lane)], ())[0]

    def all(self, *, extra_lanes: Sequence[str] = (), former: bool = False) -> list[Gate]:
        """Every gate that was ever used, and those that live workers would bring to `extra_lanes`.

        `former`: and those that the workers would have brought there that used the others.
        """
        workers = self.workers()
        used = (text(gate).partition(":") for gate in self._redis.smembers("chartq:gates"))
        pairs = {(account, lane) for account, _, lane in used}
        accounts = {(_api(lane), account) for account, lane in pairs if former}
        accounts |= {brought for entry in workers for brought in entry.accounts.items()}
        pairs |= {(account, lane) for lane in extra_lanes for api, account in accounts if api == _api(lane)}
        return self._describe(sorted(pairs), workers)

    def workers(self) -> list[WorkerEntry]:
        """What the live workers publish."""
        since_s = self._queues.now() - WORKER_LIVE_S * self._clock.speed
        entries = (parse_entry(text) for text in self._redis.hgetall("chartq:workers").values())
        return [entry for entry in entries if entry and entry.seen_s > since_s]

    def resume(self, gates: Iterable[Gate]) -> int:
        """Open what is on hold, one probe first. Returns how many gates were on hold."""
        asked = [{"account": gate.account, "lane": gate.lane} for gate in gates]
        return int(self._scripts.call("resume", gates=asked))

    def hours(self, gates: Sequence[Gate]) -> list[dict[str, list[int]]]:
        """For each gate the last hour's `calls`, and how many of them were `refused`, by the minute."""
        asked = [f"{gate.account}:{gate.lane}" for gate in gates]
        hours: list[dict[str, list[int]]] = self._scripts.call_json("hours", gates=asked) if asked else []
        return hours

    def _describe(self, pairs: Sequence[tuple[str, str]], workers: Sequence[WorkerEntry]) -> list[Gate]:
        controls = self._controls()
        known = [self._limits_of(account, lane, controls, workers) for account, lane in pairs]
        asked = [
            {
                "account": account,
                "lane": lane,
                "windows": [[w.calls, w.window_ms] for w in own.windows],
                "ceiling": own.ceiling,
            }
            for (account, lane), own in zip(pairs, known, strict=True)
        ]
        reply = self._scripts.call_json("describe", gates=asked)
        suspended = {"reason": "suspended", "message": SUSPENDED, "since_ms": None} if reply["suspended"] else {}
        now_s = reply["now_ms"] / 1000
        ahead_s = self._clock.now() - now_s
        by = _Clocks(now_s=now_s, ahead_s=ahead_s if abs(ahead_s) > _SAME_S else 0.0)
        return [
            _gate(pair, {**row, **suspended}, by, own, controls)
            for pair, row, own in zip(pairs, reply["rows"] or [], known, strict=True)
        ]

    def _limits_of(self, account: str, lane: str, controls: Controls, workers: Sequence[WorkerEntry]) -> "_InForce":
        """What holds for the lane, whether a live worker brings the account, and when it was seen."""
        mine = [entry for entry in workers if account in entry.accounts.values()]
        live = bool(mine)
        if not mine and (last := parse_entry(self._redis.hget(f"chartq:account:{account}", "entry"))):
            mine = [last]
        limits, ceiling = merged_limits(mine)
        of_workers = limits.windows(model_of(lane))
        return _InForce(
            windows=controls.windows_with(lane, of_workers),
            ceiling=controls.ceiling_with(lane, ceiling),
            of_workers=of_workers,
            live=live,
            seen_s=max((entry.seen_s for entry in mine), default=0.0),
        )


def _api(lane: str) -> str:
    return lane.partition(":")[0]


def _brought_last(gates: Sequence[Gate]) -> list[Gate]:
    newest_s = max((gate.seen_s for gate in gates), default=0.0)
    return [gate for gate in gates if gate.seen_s == newest_s]


def parse_entry(published: Any) -> WorkerEntry | None:
    """What a worker published; None if none of ours wrote it."""
    try:
        return WorkerEntry.from_json(published)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # not one of ours: Redis's content is data, never trusted


@dataclass(frozen=True, kw_only=True)
class _InForce:
    windows: tuple[Window, ...]
    ceiling: int | None
    of_workers: tuple[Window, ...]
    live: bool
    seen_s: float


@dataclass(frozen=True, kw_only=True)
class _Clocks:
    """Redis's, and how far the reader's is before it."""

    now_s: float
    ahead_s: float

    def here(self, at_ms: float) -> float:
        """A moment of Redis's by the reader's clock."""
        return at_ms / 1000 + self.ahead_s


def _held(
    row: Mapping[str, Any], lane: str, controls: Controls, by: _Clocks
) -> tuple[str, str | None, float | None] | None:
    """Reason, message and since when (Unix time) the gate is on hold: somebody's pause comes first."""
    if pause := controls.pause_of(lane, by.now_s):
        shown = pause.told_to(by.ahead_s)
        return PAUSED, shown.message(by.now_s + by.ahead_s), shown.since
    since_ms = row.get("since_ms")
    return (row["reason"], row.get("message"), since_ms and by.here(since_ms)) if row.get("reason") else None


def _gate(pair: tuple[str, str], row: Mapping[str, Any], by: _Clocks, own: _InForce, controls: Controls) -> Gate:
    account, lane = pair
    reason, message, since_s = _held(row, lane, controls, by) or (None, None, None)
    limit = controls.limit_of(lane)
    until_ms = row.get("until_ms") or 0
    closed = until_ms > by.now_s * 1000
    return Gate(
        account=account,
        lane=lane,
        **vars(own),  # their names are the gate's
        reason=reason,
        message=message,
        since_s=since_s,
        until_s=by.here(until_ms) if closed else None,
        why=row.get("why") if closed else None,
        wait_s=row["wait_ms"] / 1000,
        budget_wait_s=row["budget_wait_ms"] / 1000,
        probing=row["probing"],
        limit=int(row["limit"]) if row.get("limit") else None,
        in_flight=row["in_flight"],
        set_limit=limit.text() if limit else None,
        spent=tuple(row["spent"] or ()),
        now_s=by.now_s + by.ahead_s,
        ahead_s=by.ahead_s,
    )
