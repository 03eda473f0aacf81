"""What all workers share, read from Redis at one moment: queues, gates, RQ's workers; and what could run now."""

from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis
from rq.worker_registration import get_keys

from jobs.lanes import Depth, Gate, Gates, LaneQueues
from jobs.lanes.scripts import text

#: More are left out, and `lanes_left_out` says how many.
LANES_MAX = 100
WORKERS_MAX = 500

_WORKER_FIELDS = ("state", "queues", "successful_job_count", "failed_job_count", "total_working_time")


@dataclass(frozen=True, kw_only=True)
class RqWorker:
    """A worker, as RQ's own record has it."""

    name: str
    state: str
    lanes: str
    successes: int
    failures: int
    working_s: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The shared state at one moment."""

    depths: Sequence[Depth]
    gates: Sequence[Gate]
    workers: Sequence[RqWorker]
    lanes_left_out: int


def read(redis: Redis) -> Snapshot:
    """All of it, in a few round trips."""
    queues = LaneQueues(redis)
    waiting = queues.lanes()
    gates = Gates(redis).all(extra_lanes=waiting[:LANES_MAX])
    lanes = [*waiting, *sorted({gate.lane for gate in gates if gate.live} - set(waiting))]
    shown = lanes[:LANES_MAX]
    return Snapshot(
        depths=queues.depths(shown),
        gates=[gate for gate in gates if gate.lane in shown],
        workers=_workers(redis),
        lanes_left_out=len(lanes) - len(shown),
    )


def runnable(depth: Depth, gates: Sequence[Gate]) -> int:
    """How many of a lane's jobs run or could start now: what workers are needed for.

    A lane without live workers is judged by what its gates were last; without any gate it is open.
    """
    mine = [gate for gate in gates if gate.lane == depth.lane]
    mine = [gate for gate in mine if gate.live] or mine
    room = sum(_room(gate, depth.queued) for gate in mine) if mine else depth.queued
    return depth.started + min(depth.queued, room)


def _room(gate: Gate, most: int) -> int:
    """Calls that this gate would let through now, as far as is known; at most `most`."""
    if state_of(gate) != "open":
        return 0
    bounds = [window.calls - spent for window, spent in zip(gate.windows, gate.spent, strict=False)]
    bounds += [most_in_flight - gate.in_flight for most_in_flight in (gate.limit, gate.ceiling) if most_in_flight]
    bounds += [1 - gate.in_flight] if gate.probing else []
    return max(0, min([most, *bounds]))


def state_of(gate: Gate) -> str:
    """open, closed (until some time) or hold. A budget that is used up is told by the permits left."""
    if gate.held:
        return "hold"
    return "open" if gate.until_s is None else "closed"


def _workers(redis: Redis) -> list[RqWorker]:
    """RQ's own way to list them asks for each on its own."""
    keys = sorted(get_keys(connection=redis))[:WORKERS_MAX]
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, _WORKER_FIELDS)
        rows = pipeline.execute()
    return [_worker(key, row) for key, row in zip(keys, rows, strict=True) if row[0] is not None]


def _worker(key: str, row: Sequence[bytes | None]) -> RqWorker:
    state, queues, successes, failures, working_s = row
    lanes = {name.rpartition("@")[0] or name for name in text(queues or b"").split(",")}
    return RqWorker(
        name=key.rpartition(":")[2],
        state=text(state),
        lanes=",".join(sorted(lanes)),
        successes=int(successes or 0),
        failures=int(failures or 0),
        working_s=float(working_s or 0),
    )
