"""Huey on Redis; answers are kept until they are read, as by default."""

import os
from collections.abc import Sequence

from huey import RedisHuey  # type: ignore[import-not-found]

from benchmarks.peers import call

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"])

_TASKS = {"ask": huey.task()(call.ask), "noop": huey.task()(call.noop)}


def send(task: str, paths: Sequence[str]) -> None:
    for path in paths:
        _TASKS[task](path)
