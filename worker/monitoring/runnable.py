"""What of a lane runs or could start now, by its depth and its gates. Pure."""

from collections.abc import Sequence

from jobs.lanes import Depth, Gate


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
