"""Plain RQ: `rq worker-pool`, and for quotas the Retry of its documentation."""

import os
from collections.abc import Sequence

from redis import Redis
from rq import Queue, Retry

from benchmarks.peers import call

_CHUNK = 1000


def send(task: str, paths: Sequence[str]) -> None:
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    retry = Retry(max=3, interval=5) if task == "retrying" else None
    work = call.noop if task == "noop" else call.ask
    for start in range(0, len(paths), _CHUNK):
        queue.enqueue_many([Queue.prepare_data(work, (path,), retry=retry) for path in paths[start : start + _CHUNK]])
