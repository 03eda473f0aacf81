"""`lanes`: may each lane be called now, and if not, until when and why?"""

import time

import click
from rich.table import Table

from jobs.batches.follow import waiting
from jobs.batches.lanes import lane_documents
from jobs.batches.session import Session
from jobs.batches.shapes import LaneDocument
from jobs.cli.console import print_table
from jobs.cli.options import json_option
from jobs.cli.output import print_data, say
from jobs.config.settings import producer_settings
from jobs.core.text import MESSAGE_CHARS, dumps, label, one_line
from jobs.core.time_text import duration


@click.command()
@json_option
def lanes(as_json: bool) -> int:
    """Show each lane: may it be called for now, and if not, until when and why?

    \b
    Example: chartq lanes
    """
    with Session(producer_settings()) as session:
        rows = lane_documents(session)
    if as_json:
        for row in rows:
            print_data(dumps(row))
        return 0
    if not rows:
        say("there is no lane yet: a model has one from the first question on that is asked of it")
        return 0
    table = Table(box=None)
    for column in ("account", "lane", "state", "budget", "calls", "queued"):
        table.add_column(column, no_wrap=column not in ("lane", "state"), overflow="fold")
    for row in rows:
        budget = "\n".join(
            [
                *(f"{b['used']}/{b['limit']} in {duration(b['window_s'])}" for b in row["budget"]),
                *([f"limit: {one_line(row['limit'])}"] if row["limit"] else []),
                *([f"workers' own: {row['workers_budget']}"] if row["limit"] and row["workers_budget"] else []),
            ]
        )
        names = (label(row["account"] or "-"), label(row["lane"]))
        table.add_row(*names, _lane_state(row), budget, str(row["in_flight"]), str(row["queued"]))
    print_table(table)
    return 0


def _lane_state(row: LaneDocument) -> str:
    if row["state"] == "on_hold":
        return f"on hold ({row['reason']}): {one_line(row['message'] or '', MESSAGE_CHARS)}"
    if row["closed_until"]:
        return f"closed ({row['reason']}): {waiting(row['closed_until'], time.time())}"
    return "open"
