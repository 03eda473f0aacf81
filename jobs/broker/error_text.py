"""What a Redis that refuses or is away, and was right before, means for the user: in a sentence, with what to do."""

import redis
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError

#: By the kind of error; the first that fits.
_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (OutOfMemoryError, "it is out of memory: raise its maxmemory, or let workers empty the queues"),
    (ReadOnlyError, "it is a read-only replica now: REDIS_URL must lead to the primary"),
    (BusyLoadingError, "it is loading its data: try again in a moment"),
)
#: By the word that the server's reply begins with.
_BY_WORD = {
    "MISCONF": "it can't write to its disk: make room there",
    "NOREPLICAS": "it misses its replicas and takes no writes: bring them back",
    "BUSY": "it is busy with somebody's script: wait, or end that one",
}
#: If it is none of these.
_OTHERWISE: tuple[tuple[type[Exception], str], ...] = (
    (redis.TimeoutError, "it did not answer in time: is it overloaded, or stopped?"),
    (redis.ConnectionError, "it is away: is the server running, and reachable from here?"),
    (redis.RedisError, "it refused: `chartq doctor` looks at it"),
)


def redis_trouble(error: Exception) -> str:
    """What is wrong, what to do, and Redis's own words; of an error that is none of Redis's its own."""
    if not isinstance(error, redis.RedisError):
        return str(error)
    trouble = passing_trouble(error)
    return "Redis: " + (trouble or _worded(next(what for kind, what in _OTHERWISE if isinstance(error, kind)), error))


def passing_trouble(error: redis.RedisError) -> str | None:
    """The same, if this server is the right one and will do again when that has been mended."""
    for kind, what in _BY_KIND:
        if isinstance(error, kind):
            return _worded(what, error)
    what = _BY_WORD.get(str(error).partition(" ")[0], "")
    return _worded(what, error) if what else None


def _worded(what: str, error: redis.RedisError) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    return f"{what} ({words})" if words else what
