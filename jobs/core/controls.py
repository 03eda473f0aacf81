"""Controls: what people have paused, and the limits that they have set on models. Values, for ledger and Redis.

A pause is known by its subject: `*` (everything), `model ORG/NAME` or `batch ID`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jobs.core.job import model_of
from jobs.core.rates import RateLimits, Window, smallest
from jobs.core.time_text import clock

#: The subject of a pause of everything.
EVERYTHING = "*"

#: `hold.reason` of what is paused.
PAUSED = "paused"


def subject_of(kind: Literal["model", "batch"], name: str) -> str:
    """How the pause of a model or a batch is known."""
    return f"{kind} {name}"


@dataclass(frozen=True, kw_only=True)
class Pause:
    """No call starts. Times are Unix time by Redis's clock; `until` None: until somebody resumes."""

    by: str
    since: float
    until: float | None = None

    def is_over(self, now: float) -> bool:
        return self.until is not None and self.until <= now

    def told_to(self, ahead_s: float) -> "Pause":
        """The same by a clock that is so far ahead of Redis's."""
        until = None if self.until is None else self.until + ahead_s
        return replace(self, since=self.since + ahead_s, until=until)

    def message(self, now: float) -> str:
        """`paused by ann@host until 14:00:00`."""
        return f"paused by {self.by}" + (f" until {clock(self.until, now)}" if self.until is not None else "")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A budget and a most of calls in flight that hold beside the workers' own."""

    by: str
    since: float
    windows: tuple[Window, ...] = ()
    concurrency: int | None = None

    def text(self) -> str:
        """`30/m, 4 in flight, set by ann@host`."""
        parts = [*map(str, self.windows), *([f"{self.concurrency} in flight"] if self.concurrency else [])]
        return ", ".join([*parts, f"set by {self.by}"])


@dataclass(frozen=True, kw_only=True)
class Controls:
    """All of them. `store` and `version` say whose they are, and which are newer."""

    store: str = ""
    version: int = 0
    #: The store's place, without its password.
    label: str = ""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)

    def pause_of(self, lane: str, now: float) -> Pause | None:
        """What keeps every batch of the lane waiting; of several pauses the longest."""
        subjects = (EVERYTHING, *(subject_of("model", name) for name in _names(lane)))
        found = [pause for one in subjects if (pause := self.pauses.get(one)) and not pause.is_over(now)]
        return max(found, key=lambda pause: pause.until or float("inf"), default=None)

    def limit_of(self, lane: str) -> Limit | None:
        """`org/name:provider` has that of `org/name` if it has none of its own."""
        return next((self.limits[name] for name in _names(lane) if name in self.limits), None)

    def windows_with(self, lane: str, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        """The workers' windows and the limit's: of each length the smaller."""
        limit = self.limit_of(lane)
        return smallest(RateLimits(windows), RateLimits(limit.windows)).default if limit else windows

    def ceiling_with(self, lane: str, ceiling: int | None) -> int | None:
        limit = self.limit_of(lane)
        return min((one for one in (ceiling, limit and limit.concurrency) if one), default=None)

    def to_json(self) -> str:
        """As `lua/1_keys.lua` reads it: times in ms, windows as [calls, ms]."""
        pauses = {name: _ms(pause.until) for name, pause in self.pauses.items()}
        limits = {name: _limit_fields(limit) for name, limit in self.limits.items()}
        fields = {"store": self.store, "label": self.label, "version": self.version, "pauses": pauses, "limits": limits}
        return json.dumps(fields, separators=(",", ":"))


#: Nobody has paused or limited anything.
NO_CONTROLS = Controls()


def _names(lane: str) -> tuple[str, str]:
    model = model_of(lane)
    return model, model.rpartition(":")[0]


def _ms(until: float | None) -> int:
    return -1 if until is None else int(until * 1000)


def _limit_fields(limit: Limit) -> dict[str, Any]:
    return {"windows": [[one.calls, one.window_ms] for one in limit.windows], "concurrency": limit.concurrency or 0}
