"""May each lane be called now, and if not, until when and why? As the documents of `lanes`."""

from collections.abc import Mapping

from jobs.batches.session import Session
from jobs.batches.shapes import LaneDocument
from jobs.core.job import model_of
from jobs.core.time_text import iso
from jobs.lanes import Gate, LaneQueues


def lane_documents(session: Session) -> list[LaneDocument]:
    """A document for each gate that is known, and for each lane that has work. Raises QueueError, RedisError."""
    gates, queues = session.gates, LaneQueues(session.redis)
    waiting = queues.lanes()
    known = gates.all(extra_lanes=waiting)
    # No worker has come yet: nobody knows by which account they will be called for.
    known += [gates.unbrought(lane) for lane in sorted(set(waiting) - {gate.lane for gate in known})]
    depths = {depth.lane: depth for depth in queues.depths({gate.lane for gate in known})}
    return [
        _lane_document(gate, depths[gate.lane].queued, hour)
        for gate, hour in zip(known, gates.hours(known), strict=True)
    ]


def _lane_document(gate: Gate, queued: int, hour: Mapping[str, list[int]]) -> LaneDocument:
    return {
        "account": gate.account or None,
        "lane": gate.lane,
        "model": model_of(gate.lane),
        "live": gate.live,
        "state": "on_hold" if gate.held else "closed" if gate.until_s else "open",
        "reason": gate.reason or gate.why,
        "message": gate.message,
        "since": iso(gate.since_s),
        "closed_until": iso(gate.until_s),
        "budget": [
            {"limit": w.calls, "window_s": w.window_ms / 1000, "used": spent, "left": max(0, w.calls - spent)}
            for w, spent in zip(gate.windows, gate.spent, strict=True)
        ],
        "limit": gate.set_limit,
        "workers_budget": ",".join(map(str, gate.of_workers)) or None,
        "next_permit_s": None if gate.held or not gate.account else round(gate.wait_s, 3),
        "concurrency": gate.limit or gate.ceiling,
        "in_flight": gate.in_flight,
        "queued": queued,
        "last_hour": {"calls": hour["calls"], "refused": hour["refused"]},
    }
