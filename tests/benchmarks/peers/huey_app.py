"""Huey on Redis; answers are kept until they are read, as by default."""

import os
from collections.abc import Sequence

from huey import RedisHuey  # type: ignore[import-not-found]
from redis import ConnectionPool

from benchmarks.peers import call

#: redis-py allows 100 connections in a pool, which are too few for 100 threads and Huey's own.
huey = RedisHuey("bench", connection_pool=ConnectionPool.from_url(os.environ["BENCH_REDIS"], max_connections=200))

_TASKS = {"ask": huey.task()(call.ask), "noop": huey.task()(call.noop)}


def send(task: str, paths: Sequence[str]) -> None:
    for path in paths:
        _TASKS[task](path)
