"""The lanes in a real Redis on a clock that the test turns, and workers that only say what came of their calls."""

import os
import signal
import socket as sockets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from jobs.broker.embedded import embedded_redis
from jobs.core import clock as clocks
from jobs.core.rates import RateLimits
from jobs.lanes import Gate, Gates, LaneQueues, Priority, account_of
from support.stack import eventually
from worker.engine.exchange import HeartbeatReply, Lease, PollResult, Settlement
from worker.engine.lane_client import LaneClient

LANE, OTHER_LANE = "chat:org/model", "chat:org/other"

#: How soon a worker looks again whose pictures are not ready (see lua/6_take.lua).
UNREADY_LOOK_S = 0.02

HOUR_S = 3600.0


@contextmanager
def running_redis() -> Iterator[Redis]:
    """An embedded server of one's own, in a folder short enough for a socket."""
    with (
        tempfile.TemporaryDirectory(prefix="chartq-") as folder,
        embedded_redis(Path(folder)) as socket,
        closing(Redis(unix_socket_path=str(socket))) as redis,
    ):
        yield redis


def end_redis(redis: Redis, socket: Path, how: signal.Signals) -> None:
    """End the server, and wait until it is gone.

    What it has promised to write is written by then: behind a slow disk it holds up to two seconds of it back
    (`appendfsync everysec`), which SIGKILL would take along; on the test's clock that may be hours.
    """
    server = int(redis.info("server")["process_id"])
    eventually(lambda: int(redis.info("persistence")["aof_buffer_length"]) == 0)
    os.kill(server, how)
    redis.connection_pool.disconnect()
    eventually(lambda: not _listens(socket))


def _listens(socket: Path) -> bool:
    with closing(sockets.socket(sockets.AF_UNIX)) as knocking:
        return knocking.connect_ex(str(socket)) == 0


@dataclass
class Clock(clocks.Clock):
    """Redis's and everybody's. Starts a minute ahead, so that Redis's own times to live lie ahead of a busy machine's
    slow test too; goes on only when told.
    """

    now_ms: int = field(default_factory=lambda: int(time.time() * 1000) + 60_000)

    def pass_s(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def now(self) -> float:
        return self.now_ms / 1000

    def steady(self) -> float:
        return self.now()

    def redis_now_ms(self) -> int:
        return self.now_ms


class Worker:
    """A worker without calls: takes, and settles as the test says."""

    def __init__(self, lane_client: LaneClient, name: str, account: str) -> None:
        self.lane_client, self.name, self.account = lane_client, name, account
        self.held: dict[str, Lease] = {}
        self.turned = PollResult(leases=(), refused=(), wait_s=0, waiting=0, give_back={}, suspended=False)

    def take(self, want: int = 1) -> list[Lease]:
        """All pictures are ready at once."""
        leases = list(self.poll([], want=want).leases)
        while self.turned.leases and self.turned.wait_s == UNREADY_LOOK_S and len(leases) < want:
            leases += self.poll([], want=want - len(leases)).leases
        return leases

    def poll(
        self,
        settlements: Sequence[Settlement],
        *,
        want: int,
        unready: Sequence[str] = (),
        ahead: int = 0,
        in_hand: Sequence[Lease] = (),
    ) -> PollResult:
        for settled in settlements:
            self.held.pop(settled.lease.execution, None)
        self.turned = self.lane_client.poll(
            settlements, want=want, unready=unready, ahead=ahead, in_flight=len(self.held), in_hand=in_hand
        )
        self.held.update((lease.execution, lease) for lease in self.turned.leases)
        return self.turned

    def settle(self, leases: Sequence[Lease], **spoken: Any) -> PollResult:
        return self.poll([Settlement(lease=lease, **spoken) for lease in leases], want=0)

    def answered(self, *leases: Lease) -> PollResult:
        return self.settle(leases, verdict="ok", to="finished")

    def refused(self, *leases: Lease, hint_s: float | None = None) -> PollResult:
        return self.settle(leases, verdict="throttled", to="front", why="throttled", hint_s=hint_s)

    def unreached(self, *leases: Lease) -> PollResult:
        return self.settle(leases, verdict="unreachable", to="front", why="unreachable")

    def failed(self, lease: Lease, *, delay_s: float = 0.0) -> dict[str, int]:
        """A transient failure, as the worker settles it: heard first, then moved. What an outage gives back."""
        give_back = dict(self.settle([lease], verdict="transient").give_back)
        if lease.job in give_back:
            self.settle([lease], to="back")
        else:
            self.settle([lease], to="delay", delay_s=delay_s)
        return give_back

    def held_up(self, *leases: Lease, scope: str = "account", reason: str = "credits") -> PollResult:
        return self.settle(leases, verdict="hold", to="front", scope=scope, reason=reason, message="Add credits")

    def unused(self, *leases: Lease) -> PollResult:
        return self.settle(leases, verdict="unused", to="front")

    def heartbeat(self) -> HeartbeatReply:
        return self.lane_client.heartbeat(list(self.held.values()))


class Lanes:
    """An empty Redis and everything that stands around it."""

    def __init__(self, redis: Redis, clock: Clock | None = None) -> None:
        redis.flushall()
        self.redis, self.clock = redis, clock or Clock()
        self.queues, self.gates = LaneQueues(redis, self.clock), Gates(redis, self.clock)

    def worker(
        self,
        name: str = "w1",
        *,
        limits: str = "",
        ceiling: int | None = None,
        token: str = "good",
        proven: bool = True,
    ) -> Worker:
        """A worker that has beaten once. `proven`: its account has been answered before, so nothing goes alone."""
        account = account_of(base_url="http://provider", token=token, bill_to=None)
        if proven:
            self.redis.hset(f"chartq:account:{account}", "proven", "1")
        lane_client = LaneClient(
            self.redis,
            clock=self.clock,
            worker=name,
            accounts={"chat": account},
            limits=RateLimits.parse(limits),
            ceiling=ceiling,
        )
        worker = Worker(lane_client, name, account)
        worker.heartbeat()
        return worker

    def submit(self, count: int, batch_id: str = "b1", *, lane: str = LANE, priority: Priority = "normal") -> list[str]:
        """Queue `count` new jobs of this batch; their ids are `batch-0`, `batch-1`..."""
        first = int(self.redis.incrby(f"test:{batch_id}", count)) - count
        job_ids = [f"{batch_id}-{number}" for number in range(first, first + count)]
        assert self.queues.enqueue(job_ids, lane=lane, batch_id=batch_id, priority=priority) == count
        return job_ids

    def gate(self, lane: str = LANE) -> Gate:
        [gate] = self.gates.of_lane(lane)
        return gate

    def queued(self, lane: str = LANE) -> int:
        [depth] = self.queues.depths([lane])
        return depth.queued


def jobs_of(leases: Sequence[Lease]) -> list[str]:
    return [lease.job for lease in leases]
