"""The way to Redis: the server at `REDIS_URL`, or the embedded one. Foreign errors become QueueError here."""

import logging
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    ResponseError,
)
from redis.retry import Retry

from jobs.broker.embedded import embedded_redis
from jobs.broker.error_text import passing_trouble
from jobs.broker.server_binary import OLDEST_VERSION
from jobs.config.settings import Settings
from jobs.core.errors import QueueError

logger = logging.getLogger(__name__)

#: As `CLIENT LIST` shows us; RQ's workers take names of their own.
CLIENT_NAME = "chartq"

_CONNECT_TIMEOUT_S = 5
#: For one answer. RQ's workers raise it above the time that they block for.
_ANSWER_TIMEOUT_S = 10
#: A connection that was idle for so long is asked first whether it is still there.
_HEALTH_CHECK_S = 30
#: redis-py tries so often to connect in each of as many tries of a command: 9 in all.
_RETRIES = 2

_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": _CONNECT_TIMEOUT_S,
    "socket_timeout": _ANSWER_TIMEOUT_S,
    "health_check_interval": _HEALTH_CHECK_S,
    "client_name": CLIENT_NAME,
}


@contextmanager
def redis_connection(settings: Settings) -> Iterator[redis.Redis]:
    """A client of a server that answered and can be worked with. Raises QueueError, InstallationError.

    Answers are bytes, as RQ needs them. Embedded, the server stays until the last user's `with` ends.
    """
    if settings.redis_url is not None:
        with closing(_connected(settings.redis_url.get_secret_value())) as client:
            yield client
        return
    with embedded_redis(settings.chartq_home) as socket:
        # A server on this machine that is gone won't be back in seconds: say so soon.
        retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), _RETRIES)
        with closing(redis.Redis(unix_socket_path=str(socket), retry=retry, **_OPTIONS)) as client:
            yield client


def _connected(url: str) -> redis.Redis:
    """A client of the server at `url`, which was asked once and at once: a wrong URL is told soon."""
    try:
        with closing(_client(url, Retry(NoBackoff(), 0))) as probe:
            probe.ping()
            warnings = check_server(probe)
    except (redis.RedisError, OSError, TypeError, ValueError) as error:
        problem = _message(url, error)
    else:
        for warning in warnings:
            logger.warning("Redis at %s: %s", hide_password(url), warning)
        return _client(url, Retry(ExponentialWithJitterBackoff(base=0.2, cap=2), _RETRIES))
    raise QueueError(problem)  # out here, as the caught error's frames hold the password


def _client(url: str, retry: Retry) -> redis.Redis:
    client = redis.Redis.from_url(url, retry=retry, **_OPTIONS)
    # RQ reads bytes; an option in the URL would say otherwise.
    client.connection_pool.connection_kwargs["decode_responses"] = False
    return client


def check_server(client: redis.Redis) -> list[str]:
    """What is dangerous about this server, in sentences. Raises QueueError if it can't be worked with."""
    try:
        info = client.info()
    except ResponseError as error:  # a managed server that keeps it from its users
        logger.debug("Redis does not tell about itself: %s", error)
        return []
    version = str(info.get("redis_version", ""))
    if _numbers(version) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise QueueError(f"REDIS_URL: this server is Redis {version}; {oldest} or newer is needed.")
    if info.get("redis_mode") == "cluster":
        raise QueueError("REDIS_URL: this server is part of a Redis Cluster; a single one is needed.")
    if info.get("role") == "slave":
        raise QueueError("REDIS_URL: this server is a read-only replica; give the primary's address.")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return []
    return [
        f"maxmemory-policy is {policy}: short of memory it would drop jobs without a word. "
        "Set it to noeviction (`CONFIG SET maxmemory-policy noeviction`)."
    ]


def hide_password(url: str) -> str:
    """A URL that can be shown: the password, in front of the host or among the options, is `***`.

    >>> hide_password("postgresql+psycopg://me:pa/ss@db.example/charts?sslpassword=x")
    'postgresql+psycopg://me:***@db.example/charts?sslpassword=***'
    """
    # To the last @, since a password that was not encoded may hold any of / ? # @ itself.
    shown = re.sub(r"^([a-z0-9+.-]+://[^:@/]*):.*@", r"\1:***@", url, flags=re.IGNORECASE | re.DOTALL)
    # No colon: most likely a password whose colon was forgotten.
    shown = re.sub(r"^([a-z0-9+.-]+://)[^:@/]+@", r"\1***@", shown, flags=re.IGNORECASE)
    return re.sub(r"([?&][^=&]*(?:pass|token|secret)[^=&]*=)[^&#]*", r"\1***", shown, flags=re.IGNORECASE)


def _message(url: str, error: Exception) -> str:
    if isinstance(error, redis.RedisError) and (passing := passing_trouble(error)):
        return f"Redis at {hide_password(url)}: {passing}"
    what, what_to_do = _explained(error, str(error).rstrip(".") or type(error).__name__)
    return f"REDIS_URL={hide_password(url)} can't be used: {what}. {what_to_do}"


def _explained(error: Exception, text: str) -> tuple[str, str]:
    words = text.lower()
    if isinstance(error, TypeError | ValueError):
        return text, "Take the options after the ? out, or spell them as redis-py does."
    if "hello must be called" in words or "authentication required" in words:
        return "it wants a password", "Write redis://:password@host or redis://user:password@host."
    if isinstance(error, AuthenticationError | NoPermissionError):
        return text, "Check the user, the password and what that user is allowed to do."
    if "ssl" in words or "certificate" in words:
        return (
            text,
            "If this is no TLS port, write redis://; a private CA goes into ?ssl_ca_certs=/path/ca.pem.",
        )
    if isinstance(error, redis.TimeoutError):
        return text, "Is it reachable from here, and TLS (rediss://) spoken by both sides or by none?"
    if isinstance(error, ResponseError | InvalidResponse):
        return text, "Check port and database number: is this the Redis server that you meant?"
    if "closed by server" in words or "reset by peer" in words:
        return text, "If this is a TLS port, write rediss://; if not, is it a Redis server?"
    return text, "Is the server running, and reachable from here? Without REDIS_URL chartq starts its own."


def _numbers(version: str) -> tuple[int, ...]:
    """`7.2.4` as (7, 2); a version that is no numbers passes for a new one."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else OLDEST_VERSION
