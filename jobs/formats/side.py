"""One of two batches that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.formats.format import ReportContext


@dataclass(frozen=True, kw_only=True)
class Side:
    """A batch and what it is called in the comparison."""

    name: str
    #: Its status document.
    document: Mapping[str, Any]
    context: ReportContext


def sides(a: ReportContext, b: ReportContext) -> tuple[Side, Side]:
    """Both, called by what sets them apart: their models, else their names, else their ids."""
    first, second = a.status(), b.status()
    apart = (key for key in ("model", "name") if first[key] and second[key] and first[key] != second[key])
    key = next(apart, "batch_id")
    return Side(name=first[key], document=first, context=a), Side(name=second[key], document=second, context=b)
