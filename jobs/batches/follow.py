"""Follow a batch until it has ended, is on hold, or time runs out; and say in a line where it stands."""

import time
from collections.abc import Callable
from datetime import datetime

from jobs.batches.session import Session
from jobs.batches.shapes import JOB_STATES, BatchDocument, open_rows, tokens_text
from jobs.core.text import MESSAGE_CHARS, counted, label, one_line
from jobs.core.time_text import clock, duration
from jobs.ledger import Batch, StoreUnavailableError

#: Exit codes of `run`, `wait` and `watch` (the contract's).
DONE, SOME_FAILED, ON_HOLD, TIMED_OUT = 0, 1, 3, 124

#: States of a batch that has work left.
UNFINISHED = ("in_progress", "on_hold")

#: Of a question that is shown among other facts.
_QUESTION_CHARS = 300

#: Seconds between two looks.
POLL_INTERVAL_S = 0.5


def exit_code(document: BatchDocument) -> int | None:
    """What a batch's document means for `wait`; None while there is work to wait for."""
    if document["status"] == "on_hold":
        return ON_HOLD
    if document["status"] == "in_progress":
        return None
    counts = document["request_counts"]
    return SOME_FAILED if counts["failed"] or counts["canceled"] else DONE


def look(session: Session, batch: Batch) -> BatchDocument | None:
    """The batch's document; None while Redis or the store is away, which is no reason to stop watching."""
    from redis import exceptions as redis_errors  # who only needs a sentence waits for no client

    try:
        return session.status(batch)
    except redis_errors.ConnectionError:
        session.revive_redis()
    except (redis_errors.RedisError, StoreUnavailableError):
        pass
    return None


def follow(
    session: Session,
    batch: Batch,
    *,
    show: Callable[[BatchDocument], None],
    timeout_s: float | None = None,
) -> tuple[int, BatchDocument]:
    """Look until the batch has an exit code or `timeout_s` seconds are over. Returns code and last document."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    document = session.status(batch)
    while True:
        document = look(session, batch) or document
        show(document)
        code = exit_code(document)
        if code is not None:
            return code, document
        left_s = None if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            return TIMED_OUT, document
        time.sleep(POLL_INTERVAL_S if left_s is None else min(POLL_INTERVAL_S, left_s))


def summary(document: BatchDocument) -> str:
    """Where a batch stands, in a line for people."""
    counts = document["request_counts"]
    states = ", ".join(f"{counts[state]} {state}" for state in JOB_STATES if counts[state])
    line = f"{document['batch_id']} {document['status']}: {states or 'nothing yet'} of {counts['total']}"
    if sample_of := document.get("sample_of"):
        line += f" — a sample of {counted(sample_of, 'chart')}"
    if document["hold"]:
        why = one_line(document["hold"]["message"] or "", MESSAGE_CHARS)
        line += f" — on hold ({document['hold']['reason']}): {why}"
    elif document["resume_at"]:
        line += f" — {waiting(document['resume_at'], time.time())}"
    if document["eta_s"]:
        line += f" — about {duration(document['eta_s'])} to go"
    if document["cut_off"]:
        line += f" — cut off at max_tokens: {document['cut_off']}; raise it (--param max_tokens=4000)"
    if lacks_charts(document):
        line += " — more of it is being submitted; if that was interrupted, submit it again as before"
    return line


def waiting(until: str, now: float) -> str:
    """`waits until 20:44:40, in 9 s`. `until`: ISO 8601."""
    at = datetime.fromisoformat(until).timestamp()
    return f"waits until {clock(at, now)}, in {duration(max(0.0, at - now))}"


def facts(document: BatchDocument, limits: str | None) -> list[str]:
    """What else people ask of a batch, a line each. `limits`: those in force; None if nothing is left to ask."""
    created = datetime.fromisoformat(document["created_at"]).timestamp()
    about = {
        "name": label(document["name"] or ""),
        "model": label(document["model"]),
        "question": one_line(document["prompt"], _QUESTION_CHARS),
        "asks about": f"the answers of {document['from']}" if document["from"] else "",
        "submitted": clock(created, time.time()),
        "limit": (limits or "").replace("\n", "; "),
        "tokens": tokens_text(document["usage"]),
        "next": next_step(document),
    }
    return [f"{name + ':':<11}{value}" for name, value in about.items() if value]


def next_step(document: BatchDocument) -> str:
    """The command that one would type now."""
    batch_id, counts = document["batch_id"], document["request_counts"]
    if document["status"] == "on_hold":
        return f"mend the cause, then: chartq resume {batch_id}"
    if document["status"] == "in_progress":
        return f"chartq watch {batch_id}" + ("" if counts["started"] else " (chartq worker, if none is running)")
    again = f" · chartq errors {batch_id} · chartq retry {batch_id}" if counts["failed"] else ""
    return f"chartq results {batch_id} -o report.html{again}"


def lacks_charts(document: BatchDocument) -> bool:
    """All that was submitted so far has ended, and yet the batch hasn't: its submit is under way, or has died."""
    return document["status"] == "in_progress" and not open_rows(document["request_counts"])
