"""Which of a batch's rows are meant: the same words for looking at them and for acting on them."""

from typing import Annotated

from fastapi import Depends, Query

from jobs.batches.shapes import JobState
from jobs.ledger import RowFilter


def _row_filter(
    status: Annotated[JobState | None, Query(description="Only rows of this state.")] = None,
    error: Annotated[str, Query(max_length=200, description="Only failures of this type.")] = "",
    q: Annotated[str, Query(max_length=200, description="Stands in the name or the answer.")] = "",
    field: Annotated[str, Query(max_length=200, description="Only structured answers that have this field,")] = "",
    value: Annotated[str, Query(max_length=200, description="with this value.")] = "",
) -> RowFilter:
    return RowFilter(status=status or "", error=error, words=q, field=field, value=value)


#: What handlers ask for.
Shown = Annotated[RowFilter, Depends(_row_filter)]
