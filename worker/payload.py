"""What an RQ job of ours carries: one allowed task and the job's id. Anything else is refused, never run."""

import json

from jobs.lanes import TASK

#: Bytes of the longest payload that is looked at.
_LONGEST_PAYLOAD = 1000


def is_our_payload(data: str, job_id: str) -> bool:
    """Whether an RQ job's data says "ask about this job" and nothing else. Never unpickles, never imports."""
    raw = data.encode("utf-8", "surrogateescape")
    if len(raw) > _LONGEST_PAYLOAD:
        return False
    try:
        return bool(json.loads(raw) == [TASK, None, [job_id], {}])
    except (ValueError, RecursionError):
        return False
