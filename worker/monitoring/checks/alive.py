"""The two looks of `chartq health` at what a worker depends on: does it answer now? Nothing is started or written."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.batches.session import store_url
from jobs.broker.server_process import RedisServer
from jobs.config.settings import Settings
from jobs.core.errors import ChartqError, StoreError
from jobs.ledger import schema
from jobs.ledger.database import Store
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.timeout import TooLongError, within


def look_at_redis(settings: Settings, *, limit_s: float) -> Check:
    """Whether Redis answers; the embedded one is left alone if it doesn't run."""
    return _answer("redis", limit_s, lambda: _ping(settings, limit_s))


def look_at_store(settings: Settings, *, limit_s: float) -> Check:
    """Whether the results store can be read and is one of ours."""
    return _answer("store", limit_s, lambda: _read_version(settings))


def _answer(name: str, limit_s: float, ask: Callable[[], str]) -> Check:
    try:
        return Check(name, True, within(limit_s, ask))
    except (ChartqError, redis.RedisError, OSError, TooLongError) as error:
        return Check(name, False, str(error))


def _ping(settings: Settings, limit_s: float) -> str:
    options: dict[str, Any] = {
        "socket_timeout": limit_s,
        "socket_connect_timeout": limit_s,
        "retry": Retry(NoBackoff(), 0),
    }
    if settings.redis_url is not None:
        client = redis.Redis.from_url(settings.redis_url.get_secret_value(), **options)
    else:
        socket = RedisServer(settings.chartq_home / "redis").join()
        if socket is None:
            raise redis.ConnectionError("the embedded one does not run")
        client = redis.Redis(unix_socket_path=str(socket), **options)
    with closing(client):
        client.ping()
    return "answers"


def _read_version(settings: Settings) -> str:
    url = store_url(settings)
    with closing(Store(url)) as store:
        if url.path is not None and not url.path.exists():
            raise StoreError(f"{store.label} is not there")  # and looking at it would make it
        version = store.read(schema.current_version)
        if version is None:
            raise StoreError(f"{store.label} has no tables yet")
        return f"{store.label} answers; schema version {version}"
