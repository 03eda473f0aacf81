"""Dramatiq on Redis, with the results middleware, so that answers are kept as by the others."""

import os
from collections.abc import Sequence

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from dramatiq.results import Results  # type: ignore[import-not-found]
from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]

from benchmarks.peers import call

broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS"])))
dramatiq.set_broker(broker)

_TASKS = {"ask": dramatiq.actor(call.ask, store_results=True), "noop": dramatiq.actor(call.noop, store_results=True)}


def send(task: str, paths: Sequence[str]) -> None:
    for path in paths:
        _TASKS[task].send(path)
