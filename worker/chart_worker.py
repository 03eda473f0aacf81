"""The worker: an RQ worker that keeps N jobs in flight on threads, and takes a permit before it takes a job.

One thread decides: it settles what ended (ledger, then Redis), takes new jobs with permits, writes them down as
started and hands them to threads that make the calls. Only it takes and settles, so nothing needs a lock; the
heartbeat and the janitor have threads of their own, so that neither waits for the other or for the ledger.

What is overridden of `rq.worker.BaseWorker`, and why:
- the work loop (`work`): RQ's runs one job at a time and pops before it knows whether a call may be made;
- `_set_connection`: RQ raises the connection's time-out to minutes for its blocking pops, and we have none;
- signals (`_install_signal_handlers`): RQ's raise in the middle of whatever runs, ours set flags;
- `request_stop_execution` (`rq` stop-job): RQ kills the work horse, we have none;
- `subscribe` and its error handler: we also listen for lanes that wake, and no Redis error ends the listening.
"""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from rq.worker import BaseWorker
from rq.worker_registration import register

from jobs.errors import ChartqError, StoreError
from jobs.lanes import TASK, WAKE_CHANNEL
from jobs.lanes.gates import model_of
from jobs.ledger import Change, Ledger, Returned, StartedJob
from worker.desk import EXECUTION_TTL_S, Claim, Desk, Settlement, Turn
from worker.heart import Heart
from worker.janitor import Janitor
from worker.outcome import Hold, Refused, Throttled, Unreachable
from worker.pool import ThreadPool
from worker.settling import Ending, change, dropped, given_back, set_aside, settlement, verdict_first
from worker.task import Ended, Task

log = logging.getLogger("chartq.worker")

#: After trouble with Redis or the ledger, seconds until it is tried again.
_TROUBLE_WAIT_S = 1.0

#: A second signal within this time is the first one, delivered twice (to the group and to the process).
_SAME_SIGNAL_S = 0.3

#: Queues named in a worker's record for `rq info`; a thousand batches must not make it long.
_QUEUES_SHOWN = 100

#: Bytes of the longest payload that is looked at.
_LONGEST_PAYLOAD = 1000


class ChartWorker(BaseWorker):
    """Keeps `concurrency` jobs in flight until it is told to stop."""

    def __init__(
        self,
        *,
        connection: Redis,
        ledger: Ledger,
        task: Task,
        desk_for: Callable[[str], Desk],
        concurrency: int = 16,
        grace_s: float = 30.0,
        name: str | None = None,
        revive_redis: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__([], name=name, connection=connection, serializer="json", worker_ttl=60)
        self._ledger, self._task = ledger, task
        self._desk = desk_for(self.name)
        self._revive_redis = revive_redis
        self._concurrency, self._grace_s = concurrency, grace_s
        self._pool = ThreadPool(concurrency)
        self._events: SimpleQueue[Ending | None] = SimpleQueue()
        self._in_flight: dict[str, Claim] = {}  # by execution
        self._endings: list[Ending] = []  # ended, not yet in the ledger
        self._settlements: list[Settlement] = []  # in the ledger, not yet in Redis
        self._trouble: str | None = None
        self._leave_at: float | None = None
        self._signaled_at = 0.0
        self._wait_s = 0.0
        self._taken = 0
        self._max_jobs: int | None = None
        self._work_left = True
        self._heart = Heart(self, self._desk, lambda: list(self._in_flight.values()))
        self._janitor = Janitor(ledger, connection, self._desk, self._heart)
        self.signal_received: int | None = None

    # The loop ------------------------------------------------------------------------------------------

    def run(self, *, burst: bool = False, max_jobs: int | None = None) -> None:
        """Work until stopped; with `burst` until no lane will have work by itself; or until `max_jobs` were taken."""
        self._max_jobs = max_jobs
        self._heart.first_beat()
        self.register_birth()  # type: ignore[no-untyped-call]
        self.subscribe()
        self._heart.start()
        self._janitor.start()
        log.info("worker %s started: up to %d calls in flight", self.name, self._concurrency)
        try:
            while not self._is_over(burst=burst):
                self._step(self._next_events())
        finally:
            self._go()

    def stop(self) -> None:
        """Take no new job; let running ones end within the grace. Safe from any thread and from signal handlers."""
        self._stop_requested = True
        if self._leave_at is None:
            self._leave_at = time.monotonic() + self._grace_s
        self._events.put(None)

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop."""
        return bool(self._stop_requested)

    def wake(self) -> None:
        """Look for work now. Safe from any thread."""
        self._events.put(None)

    def _is_over(self, *, burst: bool) -> bool:
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            return True
        if self._in_flight or self._endings or self._settlements:
            return False
        done = self._max_jobs is not None and self._taken >= self._max_jobs
        return self._stop_requested or done or (burst and not self._work_left)

    def _next_events(self) -> list[Ending]:
        """Wait until something ended, somebody calls, or it is time to look again; all that has come by then."""
        events: list[Ending | None] = []
        timeout_s = self._wait_s
        if self._leave_at is not None:
            timeout_s = min(timeout_s, max(0.0, self._leave_at - time.monotonic()))
        try:
            events.append(self._events.get(timeout=timeout_s))
            while True:
                events.append(self._events.get_nowait())
        except Empty:
            pass
        return [event for event in events if event is not None]

    def _step(self, ended: Sequence[Ending]) -> None:
        self._endings.extend(ended)
        try:
            self._hear_failures()
            self._write_endings()
            turn = self._turn()
            self._trouble = None
            self._begin(turn)
        except (RedisError, StoreError, OSError) as error:
            self._note_trouble(error)

    def _note_trouble(self, error: Exception) -> None:
        """Whatever was not settled is still held, and tried again; until then no job is taken."""
        if self._trouble != type(error).__name__:
            self._trouble = type(error).__name__
            log.warning(
                "waiting for %s; %d answers held: %s",
                "the results store" if isinstance(error, StoreError) else "Redis",
                len(self._endings),
                error,
            )
        self._wait_s = _TROUBLE_WAIT_S
        if isinstance(error, RedisConnectionError):
            self._try_to_revive_redis()

    def _try_to_revive_redis(self) -> None:
        """The embedded server has nobody else to start it again."""
        try:
            self._revive_redis()
        except (ChartqError, OSError) as error:
            log.warning("the embedded Redis can't be started again: %s", error)

    # Settling ------------------------------------------------------------------------------------------

    def _hear_failures(self) -> None:
        """Tell the gates of transient failures before they are written: in an outage they cost no attempt."""
        unheard = {
            ending.claim.job: spoken
            for ending in self._endings
            if not ending.heard and (spoken := verdict_first(ending))
        }
        if not unheard:
            return
        turn = self._desk.turn(list(unheard.values()), want=0, in_flight=len(self._in_flight))
        here = {job for job in turn.give_back if job in unheard}
        self._endings = [
            Ending(
                claim=ending.claim,
                ended=ending.ended,
                heard=ending.heard or ending.claim.job in unheard,
                outage=ending.outage or ending.claim.job in here,
            )
            for ending in self._endings
        ]
        # One of the attempts to give back is the present one, which is never written.
        earlier = {job: count - (job in here) for job, count in turn.give_back.items()}
        self._ledger.give_back_attempts({job: count for job, count in earlier.items() if count > 0})

    def _write_endings(self) -> None:
        if not self._endings:
            return
        self._ledger.record([change(ending) for ending in self._endings], now=time.time())
        for ending in self._endings:
            _log_ending(ending)
        self._settlements.extend(settlement(ending) for ending in self._endings)
        self._endings = []

    def _turn(self) -> Turn:
        settlements = self._settlements
        calls = self._calls()
        turn = self._desk.turn(settlements, want=self._want(calls), in_flight=len(calls))
        self._settlements = []
        for settled in settlements:
            self._in_flight.pop(settled.claim.execution, None)
        return turn

    def _calls(self) -> list[Claim]:
        """What is really in flight: claims that are not about to be settled."""
        settled = {settled.claim.execution for settled in self._settlements}
        return [claim for execution, claim in self._in_flight.items() if execution not in settled]

    def _want(self, calls: Sequence[Claim]) -> int:
        if self._stop_requested or any(claim.alone for claim in calls):
            return 0
        free = self._concurrency - len(calls)
        if self._max_jobs is not None:
            free = min(free, self._max_jobs - self._taken)
        return max(free, 0)

    # Beginning -----------------------------------------------------------------------------------------

    def _begin(self, turn: Turn) -> None:
        self._wait_s = turn.wait_s
        self._work_left = bool(turn.claims or turn.waiting or self._in_flight)
        for job in turn.refused:
            log.error("set aside: %r stands on one of our queues, but is no job of ours", job)
        ours = [claim for claim in turn.claims if self._is_ours(claim)]
        self._in_flight.update((claim.execution, claim) for claim in ours)
        self._taken += len(ours)
        try:
            started = self._ledger.start([(c.job, c.execution) for c in ours], now=time.time()) if ours else {}
        except StoreError:
            self._taken -= len(ours)
            self._settlements.extend(given_back(claim, used=False) for claim in ours)
            raise
        for claim in ours:
            if row := started.get(claim.job):
                self._pool.submit(partial(self._perform, claim, row))
            else:
                self._taken -= 1
                self._settlements.append(dropped(claim))
        if self._settlements:
            self._wait_s = 0.0

    def _is_ours(self, claim: Claim) -> bool:
        if is_our_payload(claim.data, claim.job):
            return True
        log.error("set aside: job %s on %s carries a payload that is not ours", claim.job, claim.queue)
        self._settlements.append(set_aside(claim))
        return False

    def _perform(self, claim: Claim, job: StartedJob) -> None:
        """In a thread of the pool."""
        try:
            question = self._ledger.question(job.question_id)
            ended = self._task.perform(job, question, suspect=bool(claim.suspect))
        except StoreError as error:
            log.warning("job %s goes back: %s", job.job_id, error)
            ended = Ended(outcome=Unreachable(), error=error)
        except Exception as error:
            log.exception("job %s: a fault in chartq, please report it", job.job_id)
            ended = Ended(outcome=Refused(), error=error)
        self._events.put(Ending(claim=claim, ended=ended))

    # Leaving -------------------------------------------------------------------------------------------

    def _go(self) -> None:
        """Give back what is still in flight, and say goodbye. Best effort: leases run out by themselves."""
        self._heart.stop()
        self._janitor.stop()
        try:
            self._give_back_rest()
            self._desk.leave()
            self.register_death()  # type: ignore[no-untyped-call]
        except (RedisError, StoreError, OSError) as error:
            log.warning("left without goodbye, other workers take over within a minute: %s", error)
        self._pool.close()
        self.unsubscribe()  # type: ignore[no-untyped-call]
        log.info("worker %s stopped", self.name)

    def _give_back_rest(self) -> None:
        self._endings.extend(self._drain())
        self._write_endings()
        settled = {settled.claim.execution for settled in self._settlements}
        rest = [claim for claim in self._in_flight.values() if claim.execution not in settled]
        if rest:
            log.info("giving back %d jobs that are still in flight", len(rest))
            self._ledger.record(returns_of(rest), now=time.time())
        self._settlements.extend(given_back(claim, used=True) for claim in rest)
        if self._settlements:
            self._desk.turn(self._settlements, want=0, in_flight=0)

    def _drain(self) -> list[Ending]:
        self._wait_s, self._leave_at = 0.0, None
        return self._next_events()

    # What RQ does otherwise ----------------------------------------------------------------------------

    def work(self, *_args: Any, **_kwargs: Any) -> bool:
        """RQ's loop; ours is `run`."""
        raise NotImplementedError("use ChartWorker.run()")

    def _set_connection(self, connection: Redis) -> Redis:
        return connection

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGINT: stop within the grace; a second one: leave now. Only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        again = self.signal_received is not None and now - self._signaled_at > _SAME_SIGNAL_S
        self._signaled_at = now
        self.signal_received = self.signal_received or number
        self.stop()
        if again:
            self._leave_at = now

    def show_alive(self, queue_keys: Sequence[str]) -> None:
        """Keep RQ's record of this worker: its queues, its last heartbeat. Written anew if Redis forgot it."""
        names = [key.removeprefix(self.queue_class.redis_queue_namespace_prefix) for key in queue_keys]
        ours = sorted(name for name in names if "@" in name)[:_QUEUES_SHOWN]
        self.queues = [self.queue_class(name, connection=self.connection, serializer="json") for name in ours]
        with self.connection.pipeline(transaction=False) as pipeline:
            self.last_heartbeat = datetime.now(UTC)
            pipeline.hset(self.key, mapping=self.serialize())
            register(self, pipeline)
            pipeline.expire(self.key, EXECUTION_TTL_S)
            pipeline.execute()

    def subscribe(self) -> None:
        """Listen for RQ's commands (shutdown, stop-job) and for lanes that wake."""
        self.pubsub = self.connection.pubsub()  # type: ignore[no-untyped-call]
        handlers = {self.pubsub_channel_name: self.handle_payload, WAKE_CHANNEL: lambda _message: self.wake()}
        self.pubsub.subscribe(**handlers)
        self.pubsub_thread: Any = self.pubsub.run_in_thread(
            sleep_time=60, daemon=True, exception_handler=self._listen_again
        )

    def _listen_again(self, error: BaseException, _pubsub: object, _thread: object) -> None:
        """redis-py subscribes anew by itself; the pause keeps a dead server from being asked all the time."""
        if not isinstance(error, RedisError | OSError):
            log.warning("ignored a message on %s: %s", self.pubsub_channel_name, error)
        threading.Event().wait(_TROUBLE_WAIT_S)

    def request_stop_execution(self, execution_id: str) -> None:
        """`rq`'s stop-job: a call can't be called back, but its job can be taken off the list."""
        log.warning("stop-job %s: a call in flight ends by itself; use `chartq cancel BATCH`", execution_id)


def is_our_payload(data: str, job_id: str) -> bool:
    """Whether an RQ job's data says "ask about this job" and nothing else. Never unpickles, never imports.

    RQ compresses what it writes itself (a job requeued by hand); ours is plain JSON.
    """
    raw = data.encode("utf-8", "surrogateescape")
    if len(raw) > _LONGEST_PAYLOAD:
        return False
    try:
        return bool(json.loads(raw) == [TASK, None, [job_id], {}])
    except (ValueError, RecursionError):
        return False


def returns_of(claims: Sequence[Claim]) -> list[Change]:
    """The ledger's side of giving jobs back."""
    return [Returned(job_id=claim.job, execution_id=claim.execution, status="queued") for claim in claims]


def _log_ending(ending: Ending) -> None:
    claim, ended = ending.claim, ending.ended
    about = {"job_id": claim.job, "batch_id": claim.queue.rpartition("@")[2], "model": model_of(claim.lane)}
    outcome = type(ended.outcome).__name__.lower()
    event = f"job {outcome}"
    if ended.error is None:
        log.info("%s in %.2f s", claim.job, ended.latency_s, extra={"event": event, **about})
    elif isinstance(ended.outcome, Hold):
        log.error("%s on hold: %s", about["model"], ended.outcome.message, extra={"event": event, **about})
    else:
        level = logging.INFO if isinstance(ended.outcome, Throttled | Unreachable) else logging.WARNING
        log.log(level, "%s %s: %s", claim.job, outcome, ended.error, extra={"event": event, **about})
