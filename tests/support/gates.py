"""A gate as it is told of, without a Redis."""

import dataclasses
from typing import Any

from jobs.lanes import Gate


def gate(**changes: Any) -> Gate:
    """Open, without limits, and a live worker brings it; the time is 0."""
    values: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(Gate)), None)
    values |= {"account": "a", "lane": "chat:org/model", "live": True, "wait_s": 0.0, "budget_wait_s": 0.0}
    values |= {"probing": False, "in_flight": 0, "windows": (), "spent": (), "now_s": 0.0}
    return Gate(**{**values, **changes})
