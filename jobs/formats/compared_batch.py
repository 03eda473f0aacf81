"""One of two batches that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.formats.format import ReportContext


@dataclass(frozen=True, kw_only=True)
class ComparedBatch:
    """A batch and what it is called in the comparison."""

    name: str
    #: Its status document.
    document: Mapping[str, Any]
    context: ReportContext


def sides(a: ReportContext, b: ReportContext) -> tuple[ComparedBatch, ComparedBatch]:
    """Both, called by what sets them apart: their models, else their names, else their ids."""
    first, second = a.status(), b.status()
    apart = (key for key in ("model", "name") if first[key] and second[key] and first[key] != second[key])
    key = next(apart, "batch_id")
    return ComparedBatch(name=first[key], document=first, context=a), ComparedBatch(
        name=second[key], document=second, context=b
    )
