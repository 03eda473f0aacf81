"""How RQ sees our worker: its record, its queues, the commands that it obeys.

What is overridden of `rq.worker.BaseWorker`, and why:
- the work loop (`work`): RQ's runs one job at a time and pops before it knows whether a call may be made;
- `_set_ip_address`: redis-py can't read `CLIENT INFO` if the socket's path has a space or an equals sign;
- `_set_connection`: RQ raises the connection's time-out to minutes for its blocking pops, and we have none;
- `subscribe` and its error handler: we also listen for lanes that wake, and no Redis error ends the listening;
- `handle_payload` (`rq`'s stop-job, stop-execution): RQ kills the work horse; we have none, and cut the call.
RQ's signal handlers, which raise in the middle of whatever runs, are never installed (see worker/engine/shutdown.py).
"""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.command import handle_command, parse_payload
from rq.worker import BaseWorker
from rq.worker_registration import register

from jobs.lanes import WAKE_CHANNEL
from worker.engine.lane_client import EXECUTION_TTL_S

log = logging.getLogger("chartq.worker")

#: Queues named in a worker's record for `rq info`; a thousand batches must not make it long.
_QUEUES_SHOWN = 100

#: Seconds between two tries to listen again.
_LISTEN_AGAIN_S = 1.0

#: RQ's own time to live of a worker's record, beyond which its tools forget it; a heartbeat comes every 5 s.
_WORKER_TTL_S = 60


class RqWorker(BaseWorker):
    """A worker in RQ's books; subclasses do the work, and say what `wake` and `stop_call` do."""

    def __init__(self, connection: Redis, name: str | None = None) -> None:
        super().__init__([], name=name, connection=connection, serializer="json", worker_ttl=_WORKER_TTL_S)

    def wake(self) -> None:
        """A lane has work, or has opened."""
        raise NotImplementedError

    def stop_call(self, *, job_id: str) -> None:
        """Somebody wants this job to end now."""
        raise NotImplementedError

    def register(self) -> None:
        """Be in RQ's books, and listen. Raises RedisError."""
        self.register_birth()  # type: ignore[no-untyped-call]
        self.subscribe()

    def deregister(self) -> None:
        """Be gone from RQ's books. Raises RedisError."""
        self.register_death()  # type: ignore[no-untyped-call]

    def show_alive(self, queue_keys: Sequence[str]) -> None:
        """Keep RQ's record of this worker: its queues, its last heartbeat. Written anew if Redis forgot it."""
        names = [key.removeprefix(self.queue_class.redis_queue_namespace_prefix) for key in queue_keys]
        # Others may have queues of any name; one that can't be written back must not stop the heartbeat.
        ours = sorted(name for name in names if "@" in name and name.isprintable())[:_QUEUES_SHOWN]
        self.queues = [self.queue_class(name, connection=self.connection, serializer="json") for name in ours]
        with self.connection.pipeline(transaction=False) as pipeline:
            self.last_heartbeat = datetime.now(UTC)
            pipeline.hset(self.key, mapping=self.serialize())
            register(self, pipeline)
            pipeline.expire(self.key, EXECUTION_TTL_S)
            pipeline.execute()

    def _set_ip_address(self, connection: Redis) -> None:
        try:
            super()._set_ip_address(connection)
        except ValueError:
            self.ip_address = "unknown"

    def work(self, *_args: Any, **_kwargs: Any) -> bool:
        """RQ's loop; ours is `run`."""
        raise NotImplementedError("use run()")

    def subscribe(self) -> None:
        """Listen for RQ's commands (shutdown, stop-job) and for lanes that wake."""
        self.pubsub = self.connection.pubsub()  # type: ignore[no-untyped-call]
        handlers = {self.pubsub_channel_name: self.handle_payload, WAKE_CHANNEL: lambda _message: self.wake()}
        self.pubsub.subscribe(**handlers)
        self.pubsub_thread: Any = self.pubsub.run_in_thread(
            sleep_time=60, daemon=True, exception_handler=self._listen_again
        )

    def stop_listening(self) -> None:
        """End the listening thread."""
        self.unsubscribe()  # type: ignore[no-untyped-call]

    def handle_payload(self, message: Any) -> None:
        """A command, heard in the listening thread."""
        payload = parse_payload(message)
        if payload.get("command") in ("stop-job", "stop-execution"):
            self.stop_call(job_id=str(payload.get("job_id")))
        else:
            handle_command(self, payload)

    def _listen_again(self, error: BaseException, _pubsub: object, _thread: object) -> None:
        """redis-py subscribes anew by itself; the pause keeps a dead server from being asked all the time."""
        if not isinstance(error, RedisError | OSError):
            log.warning("ignored a message on %s: %s", self.pubsub_channel_name, error)
        threading.Event().wait(_LISTEN_AGAIN_S)

    def _set_connection(self, connection: Redis) -> Redis:
        return connection
