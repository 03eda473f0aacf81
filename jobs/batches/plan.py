"""What a submit would do, or a run has ahead: how many calls, how many tokens and dollars, done by when."""

import time
from dataclasses import dataclass, replace
from typing import Any

from jobs.batches.cost import Cost, PricesOf, cost, no_prices
from jobs.batches.documents import lane_hold
from jobs.batches.eta import NO_PACE, eta_s
from jobs.batches.session import Session
from jobs.batches.shapes import BatchDocument, open_rows
from jobs.core.text import counted
from jobs.core.time_text import clock, duration, iso
from jobs.lanes import Gate
from jobs.submit.submit import Order, Submitted, accepted, chunked, find_batch, rows_of

_CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What lies ahead. `done`: how many charts there are, as a submit tells it."""

    done: Submitted
    #: How many need a call.
    calls: int
    #: Pixels of the longer side that larger pictures are reduced to.
    max_side: int
    #: Seconds that the calls take at the lane's budget, after what waits there already; None: no budget is known.
    eta_s: float | None
    #: That budget, as `30/h`.
    budget: str = ""
    #: Nobody may call now, and why that is `chartq lanes` tells.
    held: bool = False
    #: None: nothing was answered that would tell.
    cost: Cost | None = None
    now: float

    def document(self) -> dict[str, Any]:
        """As `submit --json`, without a batch, and with the plan."""
        return {
            **self.done.document(),
            "batch_id": None,
            "dry_run": True,
            "calls": self.calls,
            "tokens": self.cost.tokens_document() if self.cost else None,
            "price_usd": self.cost.price_document() if self.cost else None,
            "eta_s": self.eta_s,
            "done_by": iso(self.now + self.eta_s) if self.eta_s is not None else None,
        }

    def lines(self, *, asked: bool = True) -> list[str]:
        """For people; where nobody `asked` for a plan, without what isn't known."""
        done = self.done
        rejected = f" ({len(done.rejected):,} rejected)" if done.rejected else ""
        calls, charts = counted(self.calls, "call"), counted(done.total, "chart")
        sample = "" if done.sample_of is None else f"sample of {done.total:,} of {counted(done.sample_of, 'chart')}"
        lines = [f"{sample or charts}{rejected}: {done.cached:,} answered already, {calls} to make"]
        if done.shrunk:
            larger = f"{done.shrunk:,} of {charts} are larger than {self.max_side} px"
            more = f"--max-side {2 * self.max_side} shows more, and takes more tokens"
            lines.append(f"{larger}; the smallest goes out at {done.smallest_scale:.0%} ({more})")
        if not self.calls:
            return lines
        told = self._told(asked=asked)
        return [*lines, *(f"{name}: {words}" for name, words in told.items() if words)]

    def _told(self, *, asked: bool) -> dict[str, str]:
        cost, time_ = self.cost, self._time()
        if not asked:
            known = {"tokens": cost.tokens_text(), "price": cost.price_text()} if cost else {}
            return known | {"time": time_}
        time_ = time_ or "not known without a budget (HF_RATE_LIMIT)"
        if cost is None:
            return {"tokens and price": "not known before this model's first answers", "time": time_}
        price = cost.price_text() or "not known; chartq models MODEL asks who serves it"
        return {"tokens": cost.tokens_text(), "price": price, "time": time_}

    def _time(self) -> str:
        if self.held:
            return "the lane is on hold; chartq lanes tells why"
        if self.eta_s is None:
            return ""
        return f"{duration(self.eta_s)} at {self.budget}, done by {clock(self.now + self.eta_s, self.now)}"


def plan(session: Session, order: Order, prices_of: PricesOf = no_prices) -> Plan:
    """Look at every file as submit does, and at the ledger; write nothing."""
    done = Submitted()
    to_call: set[str] = set()
    batch = find_batch(session.ledger, order, resume_existing=False)
    rows = rows_of(session.ledger, order, batch)
    done.sample_of = rows.sample_of
    for chunk in chunked(accepted(rows.items, done.rejected), _CHUNK):
        answered = (
            set()
            if order.refresh
            else session.ledger.answered([row.job_id for row in chunk], count_rehearsals=order.count_rehearsals)
        )
        done.total += len(chunk)
        done.note_sizes(chunk, order.question)
        done.cached += sum(row.job_id in answered for row in chunk)
        to_call |= {row.job_id for row in chunk} - answered
    return _planned(session, order, prices_of, done, calls=len(to_call), ahead=_waiting(session, order))


def plan_of_batch(
    session: Session, order: Order, done: Submitted, document: BatchDocument, prices_of: PricesOf
) -> Plan:
    """What is ahead of the batch that was submitted with this order; `document` is its status."""
    counts = document["request_counts"]
    calls = open_rows(counts)
    all_of_it = replace(done, total=counts["total"], cached=counts["finished"])
    return _planned(session, order, prices_of, all_of_it, calls=calls, ahead=max(0, _waiting(session, order) - calls))


def _planned(session: Session, order: Order, prices_of: PricesOf, done: Submitted, *, calls: int, ahead: int) -> Plan:
    question = order.question
    gates = _gates(session, question.lane, question.model)
    spent = session.ledger.tokens_spent(question, count_rehearsals=order.count_rehearsals) if calls else None
    prices = prices_of(session.settings, question) if spent else ()  # without tokens they tell nothing
    return Plan(
        done=done,
        calls=calls,
        max_side=question.picture_limits[0],
        eta_s=eta_s(ahead + calls, gates, NO_PACE) if calls else 0.0,
        budget=" and ".join(sorted({",".join(map(str, gate.windows)) for gate in gates if not gate.held})),
        held=lane_hold(gates) is not None,
        cost=cost(calls, spent, prices),
        now=time.time(),
    )


def _waiting(session: Session, order: Order) -> int:
    """Jobs on the lane's queues, whosever they are."""
    return sum(depth.queued + depth.scheduled for depth in session.queues.depths([order.question.lane]))


def _gates(session: Session, lane: str, model: str) -> list[Gate]:
    """The lane's gates; where no worker has told of one yet, as this environment's next worker will bring it."""
    gates = session.gates.of_lane(lane)
    own = session.settings.hf_rate_limit.windows(model)
    if own and not any(gate.live or gate.windows or gate.held for gate in gates):
        return [Gate.untouched(lane, own)]
    return gates
