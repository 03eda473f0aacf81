"""The one Lua library that owns our Redis keys, and how it is called.

Every move that must be whole (take, settle, enqueue...) is one script call: `lua/*.lua`, one after the other,
then the operation. Plain Redis is assumed (one server, or Sentinel's master): keys are worked out inside.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.core.clock import Clock

if TYPE_CHECKING:
    from redis import Redis

#: Where `lua` publishes that a lane has work or has opened.
WAKE_CHANNEL = "chartq:wake"

#: What an RQ job of ours names as its function; nothing else is ever run (see worker.task).
TASK = "worker.task.ask"


#: How Redis 7 treats an operation when its memory is short (`maxmemory`). New jobs are refused; what is there already
#: is kept alive, settled and taken out: that frees memory, and a worker whose heartbeats were refused would pass for
#: lost. Without such a line it depends on the operation's first write.
_REFUSED, _ALLOWED = "#!lua\n", "#!lua flags=allow-oom\n"
_SHORT_OF_MEMORY = {
    "enqueue": _REFUSED,
    "poll": _ALLOWED,
    "heartbeat": _ALLOWED,
    "owner": _ALLOWED,
    "set_controls": _ALLOWED,
}


@cache
def _texts() -> dict[str, str]:
    """By first line, the whole library: read once, since a worker has several who call it."""
    folder = Path(__file__).with_name("lua")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".lua")), key=lambda entry: entry.name)
    parts = [file.read_text("utf-8") for file in files]
    library = "\n".join([*parts, "local reply = ops[ARGV[1]](cjson.decode(ARGV[2]))", "write_down()", "return reply"])
    return {line: line + library for line in ("", _REFUSED, _ALLOWED)}


class Scripts:
    """Calls operations of the Lua library on one connection; loads it where it isn't known (yet)."""

    def __init__(self, redis: "Redis", clock: Clock) -> None:
        from redis.exceptions import NoScriptError  # a tenth of a second, for who has a connection and nobody else

        self._unknown, self._prefix = NoScriptError, rq_prefix()
        self._redis, self._clock = redis, clock
        self._scripts = {line: redis.register_script(text) for line, text in _texts().items()}

    def call(self, operation: str, **args: Any) -> Any:
        """Run `ops.<operation>(args)`. Arguments that are None are left out (Lua's `nil`)."""
        timed = {"now_ms": self._clock.redis_now_ms(), **args}
        written = json.dumps(_without_none(timed), separators=(",", ":"), ensure_ascii=False)
        payload = written.encode("utf-8", "surrogateescape")
        script = self._scripts[_SHORT_OF_MEMORY.get(operation, "")]
        try:
            return self._redis.evalsha(script.sha, 1, self._prefix, operation, payload)
        except self._unknown:
            return script(keys=[self._prefix], args=[operation, payload])

    def call_json(self, operation: str, **args: Any) -> Any:
        """As `call`, for operations that answer with JSON. Forged ids and payloads may be any bytes, and stay so."""
        return json.loads(self.call(operation, **args).decode("utf-8", "surrogateescape"))


def rq_prefix() -> str:
    """How RQ's keys begin: `rq.defaults.RQ_KEY_PREFIX`, without the 30 ms that a producer would wait for RQ."""
    return os.environ.get("RQ_KEY_PREFIX", "rq")


def text(value: Any) -> str:
    """A reply of Redis as text; our own keys and ids are ASCII or UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_NESTED = {dict, list, tuple}


def _without_none(value: Any) -> Any:
    if type(value) is dict:
        return {
            key: _without_none(item) if type(item) in _NESTED else item
            for key, item in value.items()
            if item is not None
        }
    return [_without_none(item) if type(item) in _NESTED else item for item in value]
