"""The checks of what keeps the jobs: Redis, its workers, and the results store."""

from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from rq.suspension import is_suspended

from jobs.batches.session import Session
from jobs.broker.connect import check_server, hide_password
from jobs.broker.error_text import redis_trouble
from jobs.config.settings import Settings
from jobs.core.errors import ChartqError, QueueError, StoreError
from jobs.lanes import SUSPENDED, Gates, LaneQueues
from jobs.ledger import Ledger
from worker.monitoring.checks.check import Check, size_text

#: The embedded Redis may have a large file to load first.
REDIS_LIMIT_S = 30.0

#: Share of `maxmemory` from which on the next batch may be refused.
_FULL_SHARE = 0.9


def check_redis(settings: Settings) -> list[Check]:
    """Redis can be worked with (the embedded one is started), and who works."""
    try:
        with Session(settings) as session:
            return [_server(session.redis, settings), _workers(session.redis), *_stranger(session)]
    except (ChartqError, RedisError) as error:
        todo = "Correct REDIS_URL; without it chartq starts a server of its own."
        if settings.redis_url is None:
            todo = "Do what it says, or set REDIS_URL to a Redis or Valkey server of your own, 7.0 or newer."
        if isinstance(error, RedisError):
            todo = "Do what it says; the jobs are safe in the results store meanwhile."
        return [Check("redis", False, redis_trouble(error), todo), Check("workers", None, "not known without Redis")]


def _server(client: Redis, settings: Settings) -> Check:
    warnings = check_server(client)
    # What a lack of rights or of disk would refuse: a write, and the scripts that all commands use.
    LaneQueues(client).check()
    Gates(client).all()
    try:
        info = client.info()
    except ResponseError:  # a managed server that keeps it from its users
        info = {}
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    limit = f" of {size_text(most)}" if most else ""
    policy = info.get("maxmemory_policy", "not told")
    message = f"{_which(info, settings)}; memory {size_text(used)}{limit}, eviction {policy}"
    share = used / most if most else 0.0
    if share >= _FULL_SHARE:
        return Check("redis", None if share < 1 else False, message, "Raise maxmemory, or wait for jobs to end.")
    return Check("redis", None if warnings else True, message, " ".join(warnings) or None)


def _stranger(session: Session) -> list[Check]:
    """Two projects on one Redis, or two Redis for one project: told if it is so."""
    try:
        session.pair.check()
    except StoreError:
        return []  # a check of its own
    except QueueError as error:
        return [Check("project", False, str(error), "Do what it says: until then this project's commands are refused.")]
    return []


def _which(info: dict[str, Any], settings: Settings) -> str:
    kind = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "(version not told)"
    if settings.redis_url is None:
        return f"embedded {kind} {version}, {info.get('executable', 'program not told')}, starts and answers"
    return f"{kind} {version} at {hide_password(settings.redis_url.get_secret_value())}"


def _workers(client: Redis) -> Check:
    count = len(Gates(client).workers())
    if is_suspended(client):  # whoever starts one would see it stand still
        return Check("workers", None, f"{count or 'none'} running, and {SUSPENDED}", "Let them go on: rq resume.")
    if not count:
        return Check("workers", None, "none runs", "Start one with `chartq worker`; `chartq run` brings its own.")
    return Check("workers", True, f"{count} running")


def check_store(settings: Settings) -> Check:
    """The results store opens, has a schema that this program knows, and can be written."""
    with Session(settings) as session:
        url = session.results_url
    with Ledger.open(url) as ledger:
        version = ledger.check()
        return Check("store", True, f"{ledger.label} can be written; schema version {version}")
