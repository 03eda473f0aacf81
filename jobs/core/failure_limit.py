"""How many failures of a batch are too many: a count, or a share of what has ended. Pure."""

import math
import re
from dataclasses import dataclass
from typing import Self

from jobs.core.errors import InputError

#: A share says nothing before so many charts have ended.
SHARE_FROM = 20

_SPELLED = re.compile(r"(\d+)|(\d+(?:\.\d+)?) ?%", re.ASCII)

#: Digits of a number that anybody means; more don't fit the store's integers.
_MOST_DIGITS = 9


@dataclass(frozen=True, kw_only=True)
class FailureLimit:
    """`--max-failures`: `count` failures, or `percent` of those that ended."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`20` or `5%`. Raises InputError."""
        match = _SPELLED.fullmatch(text.strip())
        if match and len(match[0]) <= _MOST_DIGITS:
            if match[1] and int(match[1]) > 0:
                return cls(count=int(match[1]))
            if match[2] and 0 < float(match[2]) <= 100:
                return cls(percent=float(match[2]))
        raise InputError(f"--max-failures {text!r}: write a number of charts, as in 20, or a share of them, as in 5%")

    def __str__(self) -> str:
        return str(self.count) if self.percent is None else f"{self.percent:g}%"

    def is_reached(self, *, failed: int, ended: int) -> bool:
        """`ended`: finished and failed ones."""
        if self.percent is None:
            return failed >= (self.count or 0)
        return ended >= SHARE_FROM and failed >= math.ceil(self.percent * ended / 100)
