"""What an RQ job of ours carries: one allowed task and the job's id. Anything else is refused, never run."""

import json
import re

from jobs.lanes import TASK

#: Bytes of the longest payload that is looked at.
_LONGEST_PAYLOAD = 1000

#: What `jobs.core.job.job_id` makes.
_JOB_ID = re.compile("[0-9a-f]{32}")


def is_our_job_id(job_id: str) -> bool:
    """Whether an id found in Redis can be one of ours."""
    return _JOB_ID.fullmatch(job_id) is not None


def is_our_payload(data: str, job_id: str) -> bool:
    """Whether an RQ job's data says "ask about this job" and nothing else. Never unpickles, never imports."""
    if not is_our_job_id(job_id):
        return False
    if data == f'["{TASK}",null,["{job_id}"],{{}}]':  # as the lanes write it
        return True
    raw = data.encode("utf-8", "surrogateescape")
    if len(raw) > _LONGEST_PAYLOAD:
        return False
    try:
        return bool(json.loads(raw) == [TASK, None, [job_id], {}])
    except (ValueError, RecursionError):
        return False
