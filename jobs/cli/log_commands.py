"""`logs`: what happened to a batch or a job, from the log files of this machine's workers."""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

import click

from jobs.batches.session import Session
from jobs.cli.completion import complete_batches
from jobs.cli.newest import batch_or_newest
from jobs.cli.options import json_option
from jobs.cli.output import print_data, reader_may_leave, say
from jobs.cli.values import Count
from jobs.config.log_dir import Entry, log_folder, read_entries
from jobs.config.settings import producer_settings
from jobs.core.errors import UnknownIdError
from jobs.core.text import dumps, visible
from jobs.core.time_text import duration, iso
from jobs.ledger import Batch

#: What the worker calls the ends of an execution, for people.
_ENDS = {
    "job done": "finished",
    "job throttled": "refused",
    "job unreachable": "not reached",
    "job refused": "failed",
    "job hold": "on hold",
}


@click.command()
@click.argument("batch_or_job_id", required=False, shell_complete=complete_batches)
@click.option("-n", "--last", type=Count(), metavar="N", help="Only the last N lines.")
@json_option
def logs(batch_or_job_id: str | None, last: int | None, as_json: bool) -> int:
    """Tell what happened to a batch (the newest, if none is named) or a job: started, refused, failed, finished.

    It knows what workers on this machine did, as far back as their logs reach: about 100,000 jobs each.

    \b
    Example: chartq logs b261122-k3x9qa -n 50
    """
    settings = producer_settings()
    with Session(settings) as session:
        id_ = batch_or_job_id or batch_or_newest(session, None).batch_id
        wanted, names = _wanted(session, id_)
        elsewhere = _asked_by(session, id_)
    folder = log_folder(settings)
    entries: Iterable[Entry] = read_entries(folder, wanted) if folder else ()
    if last is not None:
        entries = deque(entries, last)
    told = False
    with reader_may_leave():
        for entry in entries:
            told = True
            named = {"custom_id": names.get(entry.get("job_id", ""))}
            print_data(dumps(entry | named) if as_json else _line(entry | named))
    if elsewhere:
        say(_asked_elsewhere(elsewhere))
    elif not told:
        say(_nothing(id_, kept=folder is not None))
    return 0


def _asked_by(session: Session, id_: str) -> dict[str, int]:
    """How many of a batch's jobs were asked for by an earlier batch, by that batch."""
    with suppress(UnknownIdError):
        return session.ledger.asked_by_others(session.ledger.batch(id_))
    return {}


def _asked_elsewhere(others: dict[str, int]) -> str:
    """Where to look for what happened."""
    jobs = ", ".join(f"{count:,} in {batch_id}" for batch_id, count in others.items())
    return (
        f"an earlier batch asks about the same: {jobs}; "
        f"what happened before this one was submitted says: chartq logs {next(iter(others))}"
    )


def _wanted(session: Session, batch_or_job_id: str) -> tuple[Callable[[Entry], bool], dict[str, str]]:
    """Which entries are about it, and the charts' names by job. Raises UnknownIdError."""
    try:
        batch = session.ledger.batch(batch_or_job_id)
    except UnknownIdError as no_batch:
        try:
            job = session.ledger.job(batch_or_job_id)
        except UnknownIdError:
            raise no_batch from None
        job_id = job.shown.job_id
        return (lambda entry: entry.get("job_id") == job_id), {job_id: job.custom_id or job_id}
    names = session.ledger.names_of_jobs(batch)
    ended = session.status(batch)["finished_at"]
    return (lambda entry: is_about(entry, batch, names, ended)), names


def is_about(entry: Entry, batch: Batch, jobs: dict[str, str], ended: str | None) -> bool:
    """Whether an entry tells something of the batch: of its jobs, its model's gates, or trouble of a worker."""
    since = iso(batch.created_at)
    if "job_id" in entry:
        return entry["job_id"] in jobs and _moment(entry["ts"]) >= _moment(since)
    within = _moment(since) <= _moment(entry["ts"]) and (ended is None or _moment(entry["ts"]) <= _moment(ended))
    if entry.get("event") == "gate closed":
        return within and entry.get("model") == batch.question.model
    return within and entry.get("level") in ("WARNING", "ERROR", "CRITICAL")


def _moment(ts: str) -> str:
    """ISO times in UTC that compare as text, whichever way UTC is written."""
    return ts.removesuffix("Z").removesuffix("+00:00")


def _line(entry: Entry) -> str:
    at = datetime.fromisoformat(entry["ts"]).astimezone()
    about = f"{entry['custom_id']}  " if entry["custom_id"] else ""
    return visible(" ".join(f"{at:%Y-%m-%d %H:%M:%S}  {about}{words(entry)}".splitlines()))


def words(entry: Entry) -> str:
    """What an entry says, for people."""
    event, message = entry.get("event", ""), str(entry.get("message", ""))
    said = message.partition(": ")[2] or message
    match event:
        case "job started":
            return "started" if entry.get("attempt", 1) == 1 else f"started, attempt {entry['attempt']}"
        case "job done":
            return f"finished in {entry.get('latency_s', 0):.1f} s"
        case "gate closed":
            until = datetime.fromisoformat(entry["until"]).astimezone()
            return f"{entry['model']}: no call before {until:%H:%M:%S} ({entry['why']})"
        case "job transient" if "again_in_s" in entry:
            return f"failed for now, again in {duration(entry['again_in_s'])}: {_error(entry)}{said}"
        case "job throttled" if "hint_s" in entry:
            return f"refused, to come again in {duration(entry['hint_s'])}: {_error(entry)}{said}"
        case "job transient":
            return f"failed: {_error(entry)}{said}"
        case _ if event in _ENDS:
            return f"{_ENDS[event]}: {_error(entry)}{said}"
    return message


def _error(entry: Entry) -> str:
    return f"{entry['error']}: " if "error" in entry else ""


def _nothing(id_: str, *, kept: bool) -> str:
    if not kept:
        return "with REDIS_URL and RESULTS_URL set workers log to stderr only: look where that is collected"
    return f"no worker on this machine has logged anything of it; where it stands says: chartq status {id_}"
