"""What would a submit do? How many calls, how many answers are there already, done by when."""

import time
from dataclasses import dataclass
from typing import Any

from jobs.documents import iso
from jobs.eta import eta_s
from jobs.follow import duration
from jobs.session import Session
from jobs.submit import Order, Submitted, accepted, chunked

_CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The figures of a submit that was not made."""

    total: int
    cached: int
    calls: int
    rejected: list[dict[str, str]]
    #: Seconds that the calls take at the lane's budget, after what waits there already; None: no budget is known.
    eta_s: float | None

    def document(self) -> dict[str, Any]:
        """As `submit --json`, without a batch, and with the plan."""
        return {
            "batch_id": None,
            "total": self.total,
            "queued": self.total - self.cached,
            "cached": self.cached,
            "rejected": self.rejected,
            "dry_run": True,
            "calls": self.calls,
            "eta_s": self.eta_s,
            "done_by": iso(time.time() + self.eta_s) if self.eta_s is not None else None,
        }

    def sentence(self) -> str:
        """For people."""
        parts = [
            f"{self.total} charts ({len(self.rejected)} rejected): {self.cached} answered already, "
            f"{self.calls} calls to make"
        ]
        if self.calls and self.eta_s is not None:
            parts.append(f"at this budget done in {duration(self.eta_s)}, by {self.document()['done_by']}")
        elif self.calls:
            parts.append("no budget is known (HF_RATE_LIMIT), so no time can be told")
        return "; ".join(parts)


def plan(session: Session, order: Order) -> Plan:
    """Look at every file as submit does, and at the ledger; write nothing."""
    done = Submitted()
    to_call: set[str] = set()
    for chunk in chunked(accepted(order, done), _CHUNK):
        answered = (
            set()
            if order.refresh
            else session.ledger.answered([row.job_id for row in chunk], count_rehearsals=order.count_rehearsals)
        )
        done.total += len(chunk)
        done.cached += sum(row.job_id in answered for row in chunk)
        to_call |= {row.job_id for row in chunk} - answered
    lane = order.question.lane
    ahead = sum(depth.queued + depth.scheduled for depth in session.queues.depths([lane]))
    gates = session.gates.of_lane(lane)
    return Plan(
        total=done.total,
        cached=done.cached,
        calls=len(to_call),
        rejected=done.rejected,
        eta_s=eta_s(ahead + len(to_call), gates, recent_ended=0, recent_span_s=0.0) if to_call else 0.0,
    )
