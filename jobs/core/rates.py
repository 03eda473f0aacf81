"""Request budgets: how many calls a provider allows in which span of time, as `HF_RATE_LIMIT` says it.

30/h                                    30 calls in any hour
5/s,30/h                                both hold
100/15m                                 100 calls in any 15 minutes
30/h,Qwen/Qwen2.5-VL-72B-Instruct=600/m the model's own entries replace the default ones
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: A unit's length in milliseconds, longest first, so that the canonical text takes the shortest spelling.
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}

#: A year: longer spans are typing errors, and no provider counts in them.
_LONGEST_WINDOW_MS = 366 * _UNITS_MS["d"]

#: Digits are bounded so that hostile text can't make big numbers of itself.
_RATE = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})?\s*([smhd])", re.ASCII)

_ACCEPTED = "write 30/h (units s, m, h, d), 100/15m, several as 5/s,30/h, a model's own as MODEL=600/m"


@dataclass(frozen=True, order=True, kw_only=True)
class Window:
    """At most `calls` calls in any `window_ms` milliseconds (whole seconds)."""

    window_ms: int
    calls: int

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise ValueError("a budget allows at least 1 call")
        if not 1 <= self.window_ms <= _LONGEST_WINDOW_MS or self.window_ms % _UNITS_MS["s"]:
            raise ValueError("a window is between 1 second and 366 days, in whole seconds")

    def __str__(self) -> str:
        unit, unit_ms = next((u, ms) for u, ms in _UNITS_MS.items() if self.window_ms % ms == 0)
        times = self.window_ms // unit_ms
        return f"{self.calls}/{times if times > 1 else ''}{unit}"


@dataclass(frozen=True)
class RateLimits:
    """All that `HF_RATE_LIMIT` says; without entries nothing is limited.

    >>> str(RateLimits.parse("60/60m, 5 / s, org/model=10/1m"))
    '5/s,60/h,org/model=10/m'
    """

    default: tuple[Window, ...] = ()
    by_model: Mapping[str, tuple[Window, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, text: str) -> "RateLimits":
        """Read the variable's text. Raises ValueError: what is wrong and what is accepted."""
        found: dict[str, list[Window]] = {"": []}
        for entry in text.split(",") if text.strip() else []:
            model, window = _parse_entry(entry)
            found.setdefault(model, []).append(window)
        default = found.pop("")
        return cls(_tightest(default), {model: _tightest(windows) for model, windows in found.items()})

    def windows(self, model: str) -> tuple[Window, ...]:
        """What holds for `model`; `org/name:provider` takes the entry of `org/name` if it has none."""
        for name in (model, model.rpartition(":")[0]):
            if name in self.by_model:
                return self.by_model[name]
        return self.default

    def to_json(self) -> str:
        """`{"default": [[calls, window_ms]], "models": {model: [[calls, window_ms]]}}`."""
        models = {model: _as_pairs(windows) for model, windows in sorted(self.by_model.items())}
        return json.dumps({"default": _as_pairs(self.default), "models": models}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "RateLimits":
        """The way back; raises ValueError for anything that `to_json` would not write."""
        try:
            data = json.loads(text)
            models = {str(model): _from_pairs(pairs) for model, pairs in data["models"].items()}
            return cls(_from_pairs(data["default"]), models)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not the JSON of request budgets: {error!r}") from error

    def __str__(self) -> str:
        own = [f"{model}={window}" for model, windows in sorted(self.by_model.items()) for window in windows]
        return ",".join([*map(str, self.default), *own])


def smallest(*limits: RateLimits) -> RateLimits:
    """What all of `limits` allow: of each window length the smallest count, for every model named."""
    models = {model for one in limits for model in one.by_model}
    return RateLimits(
        _tightest(window for one in limits for window in one.default),
        {model: _tightest(window for one in limits for window in one.windows(model)) for model in models},
    )


def _parse_entry(entry: str) -> tuple[str, Window]:
    """`[MODEL=]N/[K]UNIT`; the model is "" for a default entry."""
    model, equals, rate = entry.rpartition("=")
    model, shown = model.strip(), repr(entry.strip()[:80])
    match = _RATE.fullmatch(rate.strip())
    if match is None or (equals and not model) or any(c.isspace() for c in model):
        raise ValueError(f"{shown} is no budget: {_ACCEPTED}")
    calls, times, unit = match.groups()
    try:
        return model, Window(calls=int(calls), window_ms=int(times or 1) * _UNITS_MS[unit])
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None


def _tightest(windows: Iterable[Window]) -> tuple[Window, ...]:
    """One window of each length, the one with the fewest calls, shortest first."""
    calls: dict[int, int] = {}
    for window in windows:
        calls[window.window_ms] = min(window.calls, calls.get(window.window_ms, window.calls))
    return tuple(Window(window_ms=length, calls=count) for length, count in sorted(calls.items()))


def _as_pairs(windows: Iterable[Window]) -> list[list[int]]:
    return [[window.calls, window.window_ms] for window in windows]


def _from_pairs(pairs: Any) -> tuple[Window, ...]:
    for pair in pairs:
        # bool is an int to Python, and 1.0 equals 1: neither is what to_json writes.
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair)):
            raise ValueError("not the JSON of request budgets: a window is [calls, window_ms]")
    return _tightest(Window(calls=calls, window_ms=window_ms) for calls, window_ms in pairs)
