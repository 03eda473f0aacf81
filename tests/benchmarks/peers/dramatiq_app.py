"""Dramatiq on Redis, with the results middleware, so that answers are kept as by the others."""

import os
from collections.abc import Sequence

import dramatiq
from benchmarks.peers import call
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["BENCH_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["BENCH_REDIS"])))
dramatiq.set_broker(broker)

_TASKS = {
    "ask": dramatiq.actor(call.ask, store_results=True),
    "noop": dramatiq.actor(call.noop, store_results=True),
}


def send(task: str, paths: Sequence[str]) -> None:
    for path in paths:
        _TASKS[task].send(path)
