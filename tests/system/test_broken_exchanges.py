"""The connection to Redis breaks in the middle of an exchange: its command has run, or has not, and nobody knows."""

import copy
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.retry import Retry
from support.lanes import LANE, Clock, Lanes, Worker, jobs_of
from support.redis_servers import BrokenWay, OwnRedis, When, broken_way, own_redis

from jobs.core.rates import RateLimits
from jobs.lanes import LaneQueues, account_of
from worker.engine.exchange import Settlement
from worker.engine.lane_client import LaneClient

BOTH: list[When] = ["before", "after"]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnRedis]:
    with own_redis() as running:
        yield running


@pytest.fixture
def way(server: OwnRedis) -> Iterator[BrokenWay]:
    with broken_way(server.port) as proxy:
        yield proxy


@pytest.fixture
def lanes(server: OwnRedis) -> Lanes:
    return Lanes(server.client)


@pytest.fixture(params=[0, 2], ids=["told to the worker", "repeated by redis-py"])
def redis(way: BrokenWay, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A client that leads through the proxy."""
    with closing(Redis(port=way.port, retry=Retry(NoBackoff(), request.param))) as client:
        yield client


def worker_at(redis: Redis, clock: Clock) -> Worker:
    account = account_of(base_url="http://provider", token="good", bill_to=None)
    redis.hset(f"chartq:account:{account}", "proven", "1")
    lane_client = LaneClient(
        redis, clock=clock, worker="cut", accounts={"chat": account}, limits=RateLimits.parse("5/h"), ceiling=None
    )
    worker = Worker(lane_client, "cut", account)
    worker.heartbeat()
    return worker


def take(worker: Worker, want: int) -> list[str]:
    """As the worker does: after an error once more."""
    try:
        return jobs_of(worker.take(want))
    except RedisConnectionError:
        return jobs_of(worker.take(want))


@pytest.mark.parametrize("when", BOTH)
def test_a_take_that_breaks_gives_each_job_and_each_permit_once(
    lanes: Lanes, way: BrokenWay, redis: Redis, when: When
) -> None:
    job_ids = lanes.submit(10)
    worker = worker_at(redis, lanes.clock)
    way.cut("poll", when)
    assert take(worker, 3) == job_ids[:3]
    assert way.done == [("poll", when)]
    assert _in_redis(lanes) == {"queued": 7, "started": 3, "in flight": 3, "spent": 3}
    assert jobs_of(worker.take(5)) == job_ids[3:5], "the whole budget was left"


@pytest.mark.parametrize("when", BOTH)
def test_an_outcome_whose_reply_is_lost_counts_once(lanes: Lanes, way: BrokenWay, redis: Redis, when: When) -> None:
    lanes.submit(4)
    worker = worker_at(redis, lanes.clock)
    first, second, *_ = worker.take(4)
    worker.answered(first)
    way.cut("poll", when)
    refusals = [Settlement(lease=second, verdict="throttled", to="front", why="throttled", hint_s=60)]
    for _ in range(2):
        try:
            worker.poll(refusals, want=0)
            break
        except RedisConnectionError:
            continue
    assert lanes.redis.hget(f"chartq:gate:{worker.account}:{LANE}", "refusals") == b"1"
    assert _in_redis(lanes) == {"queued": 1, "started": 2, "in flight": 2, "spent": 4}


@pytest.mark.parametrize("when", BOTH)
def test_attempts_that_an_outage_gives_back_are_told_again(
    lanes: Lanes, way: BrokenWay, redis: Redis, when: When
) -> None:
    lanes.submit(5)
    worker = worker_at(redis, lanes.clock)
    failures = [Settlement(lease=lease, verdict="transient") for lease in worker.take(5)]
    way.cut("poll", when)
    try:
        polled = worker.poll(failures, want=0)
    except RedisConnectionError:
        polled = worker.poll(failures, want=0)
    assert sorted(polled.give_back.values()) == [1] * 5


def test_a_reply_that_never_came_costs_no_budget_even_if_others_have_the_job_by_now(
    lanes: Lanes, way: BrokenWay
) -> None:
    [job] = lanes.submit(1)
    other = lanes.worker("other", limits="5/h")
    with closing(Redis(port=way.port, retry=Retry(NoBackoff(), 0))) as redis:
        worker = worker_at(redis, lanes.clock)
        way.cut("poll", "after")
        with pytest.raises(RedisConnectionError):
            worker.take(1)
        lanes.clock.pass_s(20)
        [(lost, of)] = other.lane_client.expired(10)
        other.lane_client.move([Settlement(lease=lost, to="front", worker=of)])
        assert jobs_of(other.take(1)) == [job]
        assert worker.take(1) == []
    assert _in_redis(lanes) == {"queued": 0, "started": 1, "in flight": 1, "spent": 1}


def test_a_turn_that_was_held_up_until_its_worker_had_gone_on_changes_nothing(lanes: Lanes) -> None:
    """A server that stalls runs what it finds in its sockets afterwards, whoever has left by then."""
    job_ids = lanes.submit(6)
    worker = lanes.worker(limits="5/h")
    late, later = copy.copy(worker), copy.copy(worker)
    late.lane_client, later.lane_client = copy.copy(worker.lane_client), copy.copy(worker.lane_client)
    leases = worker.take(2)
    assert jobs_of(leases) == job_ids[:2]
    assert late.take(2) == leases, "the same poll once more: the same reply"
    assert jobs_of(worker.take(1)) == job_ids[2:3]
    later.take(4)
    assert _in_redis(lanes) == {"queued": 3, "started": 3, "in flight": 3, "spent": 3}


def test_of_a_reply_that_comes_late_only_what_is_still_held_is_told(lanes: Lanes) -> None:
    first, second = lanes.submit(2)
    worker, other = lanes.worker(), lanes.worker("other")
    repeated = copy.copy(worker)
    repeated.lane_client = copy.copy(worker.lane_client)
    worker.take(2)
    lanes.clock.pass_s(20)
    [lost] = [lease for lease, _ in other.lane_client.expired(10) if lease.job == first]
    other.lane_client.move([Settlement(lease=lost, to="front", worker="w1")])
    assert jobs_of(other.take(1)) == [first]
    assert jobs_of(repeated.take(2)) == [second]
    assert other.lane_client.expired(10) == [], "it has its whole lease again"
    assert lanes.gate().in_flight == 2, "and its permit"


def test_who_leaves_gives_back_what_it_never_heard_of(lanes: Lanes, way: BrokenWay) -> None:
    lanes.submit(3)
    with closing(Redis(port=way.port, retry=Retry(NoBackoff(), 0))) as redis:
        worker = worker_at(redis, lanes.clock)
        way.cut("poll", "after")
        with pytest.raises(RedisConnectionError):
            worker.take(2)
        worker.lane_client.leave()
    lanes.worker("next", limits="5/h")
    assert _in_redis(lanes) == {"queued": 3, "started": 0, "in flight": 0, "spent": 0}
    assert lanes.redis.keys("chartq:last-turn:*") == []


@pytest.mark.parametrize("when", BOTH)
@pytest.mark.parametrize("operation", ["enqueue", "heartbeat", "expired", "move", "leave", "unknown", "drop"])
def test_every_other_exchange_may_be_repeated(
    lanes: Lanes, way: BrokenWay, redis: Redis, operation: str, when: When
) -> None:
    """With a cut it ends as it does without one."""
    assert _exchanged(lanes, way, redis, operation, when) == _exchanged(lanes, way, redis, operation, None)


def _exchanged(lanes: Lanes, way: BrokenWay, redis: Redis, operation: str, when: When | None) -> dict[str, int]:
    lanes.redis.flushall()
    queues, worker = LaneQueues(redis), worker_at(redis, lanes.clock)
    lanes.submit(4)
    [lease] = worker.take(1)
    lanes.clock.pass_s(1)
    exchanges: dict[str, Callable[[], object]] = {
        "enqueue": lambda: queues.enqueue(["b1-3", "new", "newer"], lane=LANE, batch_id="b1"),
        "heartbeat": worker.heartbeat,
        "expired": lambda: worker.lane_client.expired(10),
        "move": lambda: worker.lane_client.move([Settlement(lease=lease, to="alone")]),
        "leave": worker.lane_client.leave,
        "unknown": lambda: queues.unknown(["b1-3", "nobody"]),
        "drop": lambda: queues.drop(lane=LANE, batch_id="b1"),
    }
    if when is not None:
        way.cut(operation, when)
    try:
        exchanges[operation]()
    except RedisConnectionError:
        exchanges[operation]()
    assert way.is_spent
    lanes.clock.pass_s(16)
    return {
        **_in_redis(lanes),
        "lost": len(lanes.worker("looks").lane_client.expired(10)),
        "keys": len(lanes.redis.keys()),
    }


def _in_redis(lanes: Lanes) -> dict[str, int]:
    [depth] = lanes.queues.depths([LANE])
    gates = lanes.gates.of_lane(LANE)
    return {
        "queued": depth.queued,
        "started": depth.started,
        "in flight": sum(gate.in_flight for gate in gates),
        "spent": sum(sum(gate.spent) for gate in gates),
    }


def test_short_of_memory_no_new_job_comes_in_and_what_is_there_is_kept_alive_and_worked_off(lanes: Lanes) -> None:
    lanes.submit(3)
    worker, idle = lanes.worker(), lanes.worker("idle")
    held = worker.take(2)
    lanes.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            lanes.queues.enqueue(["new"], lane=LANE, batch_id="b1")
        for _ in range(4):
            lanes.clock.pass_s(5)
            worker.heartbeat()
        assert idle.lane_client.expired(10) == []
        worker.answered(*held)
        assert len(worker.take(2)) == 1
    finally:
        lanes.redis.config_set("maxmemory", 0)
    assert lanes.queues.unknown(["new"]) == ["new"]
