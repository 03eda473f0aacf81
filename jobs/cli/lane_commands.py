"""`lanes`: may each lane be called now, and if not, until when and why? As documents and as words."""

from typing import Any

import click
from rich.table import Table

from jobs.batches.session import Session
from jobs.cli.console import print_table
from jobs.cli.options import json_option
from jobs.cli.output import print_data
from jobs.config.settings import producer_settings
from jobs.core.job import model_of
from jobs.core.text import dumps
from jobs.core.time_text import duration, iso
from jobs.lanes import Gate


@click.command()
@json_option
def lanes(as_json: bool) -> int:
    """Show each lane: may it be called for now, and if not, until when and why?

    \b
    Example: chartq lanes
    """
    with Session(producer_settings()) as session:
        waiting = session.queues.lanes()
        gates = session.gates.all(extra_lanes=waiting)
        # No worker has come yet: nobody knows by which account they will be called for.
        gates += [Gate.untouched(lane, ()) for lane in sorted(set(waiting) - {gate.lane for gate in gates})]
        depths = {depth.lane: depth for depth in session.queues.depths({gate.lane for gate in gates})}
    rows = [_lane_document(gate, depths[gate.lane].queued) for gate in gates]
    if as_json:
        for row in rows:
            print_data(dumps(row))
        return 0
    table = Table(box=None)
    for column, fixed in (("account", True), ("lane", False), ("state", False), ("budget", True), ("calls", True)):
        table.add_column(column, no_wrap=fixed, overflow="fold")
    table.add_column("queued", no_wrap=True)
    for row in rows:
        budget = "\n".join(f"{b['used']}/{b['limit']} in {duration(b['window_s'])}" for b in row["budget"])
        table.add_row(
            row["account"] or "-", row["lane"], _lane_state(row), budget, str(row["in_flight"]), str(row["queued"])
        )
    print_table(table)
    return 0


def _lane_document(gate: Gate, queued: int) -> dict[str, Any]:
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
        "next_permit_s": None if gate.held or not gate.account else round(gate.wait_s, 3),
        "concurrency": gate.limit or gate.ceiling,
        "in_flight": gate.in_flight,
        "queued": queued,
    }


def _lane_state(row: dict[str, Any]) -> str:
    if row["state"] == "on_hold":
        return f"on hold ({row['reason']}): {row['message']}"
    if row["state"] == "closed":
        return f"closed ({row['reason']}) until {row['closed_until']}"
    return "open"
