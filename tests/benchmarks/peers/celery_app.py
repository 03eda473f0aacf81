"""Celery on Redis with its thread pool; answers are kept in Redis for a day, as by default."""

import os
from collections.abc import Sequence

import requests
from celery import Celery  # type: ignore[import-not-found]

from benchmarks.peers import call

_REDIS = os.environ["BENCH_REDIS"]

app = Celery("bench", broker=_REDIS, backend=_REDIS)
app.conf.broker_connection_retry_on_startup = True

_RETRIES = {"autoretry_for": (requests.RequestException,), "retry_backoff": True, "max_retries": 3}

_TASKS = {
    "ask": app.task(call.ask, name="ask"),
    "noop": app.task(call.noop, name="noop"),
    "retrying": app.task(call.ask, name="retrying", **_RETRIES),
    "retrying-limited": app.task(call.ask, name="limited", rate_limit="6/s", **_RETRIES),
}


def send(task: str, paths: Sequence[str]) -> None:
    for path in paths:
        _TASKS[task].delay(path)
