"""The worker: keeps N jobs in flight on threads, and takes a permit before it takes a job.

One thread decides: it settles what ended (ledger, then Redis), takes new jobs with permits, writes them down as
started and hands them to threads that make the calls, a few more than there are threads (`in_hand.py`). Only it takes
and settles, so nothing needs a lock; the heartbeat and the maintenance have threads of their own, so that neither waits
for the other or for the ledger.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobs.batches.reconcile import put_back_all
from jobs.broker.error_text import redis_trouble
from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.errors import ChartqError, StoreError
from jobs.core.memory import out_of_memory
from jobs.core.text import counted
from jobs.lanes import SUSPENDED
from jobs.ledger import Ledger, StoreGoneError
from worker.engine.completions import Completions
from worker.engine.event_log import log_started
from worker.engine.exchange import Lease, PollResult
from worker.engine.execute import ExecutionResult, StoppedError, Task
from worker.engine.heartbeat import Heartbeat
from worker.engine.hooks import NO_HOOKS, Hooks
from worker.engine.in_hand import LONGEST_S, LOOK_EVERY_S, Begun, InHand, not_begun
from worker.engine.lane_client import LaneClient
from worker.engine.maintenance import Maintenance
from worker.engine.payload import is_our_payload
from worker.engine.policy import Done, NotBegun, Refused, Unreachable
from worker.engine.rq_worker import RqWorker
from worker.engine.settlement import FinishedExecution, dropped, given_back, returned, set_aside
from worker.engine.settler import Settler
from worker.engine.shutdown import Shutdown
from worker.engine.threads import ThreadPool

log = logging.getLogger("chartq.worker")

#: After trouble with Redis or the ledger, seconds until it is tried again.
_TROUBLE_WAIT_S = 1.0


class ChartWorker(RqWorker):
    """Keeps `concurrency` jobs in flight until it is told to stop."""

    def __init__(
        self,
        *,
        connection: Redis,
        ledger: Ledger,
        task: Task,
        lane_client_for: Callable[[str], LaneClient],
        concurrency: int = 16,
        grace_s: float = 30.0,
        name: str | None = None,
        revive_redis: Callable[[], None] = lambda: None,
        hooks: Hooks = NO_HOOKS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(connection, name)
        self._ledger, self._task = ledger, task
        self._lane_client = lane_client_for(self.name)
        self._revive_redis, self._hooks, self._clock = revive_redis, hooks, clock
        self._pool = ThreadPool(concurrency, self._perform)
        self._in_hand = InHand()
        self._completions = Completions()
        self.shutdown = Shutdown(grace_s, told=self.wake)
        self._in_flight: dict[str, Lease] = {}  # by execution
        self._stopped: set[str] = set()  # executions that somebody stopped
        self._unready: dict[str, str] = {}  # execution -> lane: its pictures are still made ready
        self._settler = Settler(ledger, self._lane_client, self._recorded)
        self._trouble: str | None = None
        self._wait_s = 0.0
        self._taken = 0
        self._max_jobs: int | None = None
        self._burst, self._work_left, self._suspended = False, True, False
        self._heartbeat = Heartbeat(self.show_alive, self._lane_client, lambda: list(self._in_flight.values()))
        self._maintenance = Maintenance(ledger, self._lane_client, self._heartbeat)

    # The loop ------------------------------------------------------------------------------------------

    def run(self, *, burst: bool = False, max_jobs: int | None = None) -> None:
        """Work until stopped; with `burst` until nothing could run by itself, in Redis or the ledger; or until
        `max_jobs` were taken.
        """
        self._max_jobs, self._burst = max_jobs, burst
        self._heartbeat.first()
        self.register()
        self._heartbeat.start()
        self._maintenance.start()
        log.info("worker %s started: up to %d calls in flight", self.name, self._pool.size)
        try:
            while not self._is_over():
                self._hooks.polled()
                in_hand = len(self._waiting())
                wait_s = self.shutdown.left_s(min(self._wait_s, LOOK_EVERY_S) if in_hand else self._wait_s)
                self._step(self._completions.wait(wait_s, in_flight=len(self._in_flight), in_hand=in_hand))
        finally:
            self._go()

    def stop(self) -> None:
        """Take no new job; let running ones end within the grace. Safe from any thread and from signal handlers."""
        self.shutdown.request()

    @property
    def jobs_taken(self) -> int:
        """That were called for, or were about to be."""
        return self._taken

    def wake(self) -> None:
        """Look for work now. Safe from any thread."""
        self._completions.wake()

    def stop_call(self, *, job_id: str) -> None:
        """Cut the job's call and fail the job. Safe from any thread."""
        executions = [lease.execution for lease in list(self._in_flight.values()) if lease.job == job_id]
        if not executions:
            log.warning("stop-job: %s is not in flight here", job_id)
        for execution in executions:
            self._stopped.add(execution)
            self._task.cut(execution)

    def _is_over(self) -> bool:
        if self.shutdown.is_overdue:
            return True
        if self._in_flight or not self._settler.is_idle:
            return False
        done = self._max_jobs is not None and self._taken >= self._max_jobs
        return self.shutdown.is_requested or done or (self._burst and not self._work_left)

    def _step(self, ended: Sequence[FinishedExecution]) -> None:
        self._settler.add(ended)
        fair = self._in_hand.hear([ending.ended.outcome for ending in ended], self._clock.steady())
        if not fair or self.shutdown.is_requested or self._waits_too_long():
            self._recall()
        try:
            self._settler.record()
            polled = self._poll()
            self._trouble = None
            self._begin(polled)
        except StoreGoneError:
            raise  # no waiting brings it back, and each call more would be paid for in vain
        except (RedisError, StoreError, OSError) as error:
            self._note_trouble(error)

    def _note_trouble(self, error: Exception) -> None:
        """Whatever was not settled is still held, and tried again; until then no job is taken."""
        if self._trouble != type(error).__name__:
            self._trouble = type(error).__name__
            what = "the results store" if isinstance(error, StoreError) else "Redis"
            why = redis_trouble(error) if isinstance(error, RedisError) else error
            log.warning("waiting for %s; %s held: %s", what, counted(self._settler.unwritten, "answer"), why)
        self._wait_s = _TROUBLE_WAIT_S
        self._recall()
        if isinstance(error, RedisConnectionError):
            self._try_to_revive_redis()

    def _try_to_revive_redis(self) -> None:
        """The embedded server has nobody else to start it again."""
        try:
            self._revive_redis()
        except (ChartqError, OSError) as error:
            log.warning("the embedded Redis can't be started again: %s", error)

    def _recorded(self, ending: FinishedExecution) -> None:
        """It stands in the ledger."""
        self._hooks.ended(ending)
        self._stopped.discard(ending.lease.execution)
        self._unready.pop(ending.lease.execution, None)
        self._taken -= isinstance(ending.ended.outcome, NotBegun)

    # Taking --------------------------------------------------------------------------------------------

    def _poll(self) -> PollResult:
        calls = self._calls()
        want, ahead = self._want(calls)
        in_hand = [begun.lease for begun in self._waiting()]
        settled = self._settler.executions
        polled = self._settler.poll(
            want=want, ahead=ahead, in_flight=len(calls), unready=list(self._unready.values()), in_hand=in_hand
        )
        for execution in settled:
            self._in_flight.pop(execution, None)
        return polled

    def _calls(self) -> list[Lease]:
        """What is really in flight: leases that are not about to be settled."""
        settled = self._settler.executions
        return [lease for execution, lease in self._in_flight.items() if execution not in settled]

    def _want(self, calls: Sequence[Lease]) -> tuple[int, int]:
        """How many jobs to take for threads that are free, and how many to have in hand."""
        if self.shutdown.is_requested or any(lease.alone for lease in calls):
            return 0, 0
        most = self._pool.size + self._in_hand.wanted(self._pool.size) - len(calls)
        if self._max_jobs is not None:
            most = min(most, self._max_jobs - self._taken)
        free = max(0, min(most, self._pool.size - len(calls)))
        return free, max(0, most - free)

    # In hand -------------------------------------------------------------------------------------------

    def _waiting(self) -> list[Begun]:
        return [begun for begun in self._pool.waiting() if begun.in_hand]

    def _waits_too_long(self) -> bool:
        waiting = self._waiting()
        return bool(waiting) and self._clock.steady() - waiting[0].at_s > LONGEST_S

    def _recall(self) -> None:
        """What waits in hand goes back."""
        recalled = self._pool.recall(lambda begun: begun.in_hand)
        self._settler.add(not_begun(begun) for begun in recalled)

    # Beginning -----------------------------------------------------------------------------------------

    def _begin(self, polled: PollResult) -> None:
        self._wait_s = self._clock.poll_interval_s(polled.wait_s)
        self._note_suspension(polled)
        self._work_left = bool(polled.leases or polled.waiting or self._in_flight) or (self._burst and self._put_back())
        for job in polled.refused:
            log.error("set aside: %r stands on one of our queues, but is no job of ours", job)
        ours = [lease for lease in polled.leases if self._is_ours(lease)]
        free = self._pool.size - len(self._in_flight)
        self._in_flight.update((lease.execution, lease) for lease in ours)
        try:
            pairs = [(lease.job, lease.execution) for lease in ours]
            started = self._ledger.start(pairs, now=self._lane_client.now()) if ours else {}
        except StoreError:
            self._settler.settle(given_back(lease, used=False) for lease in ours)
            raise
        self._taken += len(started)
        for place, lease in enumerate(ours):
            if row := started.get(lease.job):
                log_started(lease, row)
                self._hooks.started(lease, row)
                self._unready[lease.execution] = lease.lane
                self._pool.submit(Begun(lease, row, self._clock.steady(), in_hand=place >= free))
            else:
                self._settler.settle([dropped(lease)])
        if polled.recalled:
            self._recall()
        if not self._settler.is_idle:
            self._wait_s = 0.0

    def _note_suspension(self, polled: PollResult) -> None:
        if polled.suspended and not self._suspended:
            log.warning(SUSPENDED)
        self._suspended = polled.suspended or (self._suspended and not polled.leases)

    def _put_back(self) -> bool:
        """Whether the ledger has work that Redis lost, or that a plain `rq worker` has failed there."""
        found = put_back_all(self._ledger, self._lane_client.queues)
        if found.put_back:
            log.warning("Redis had lost %s: put back", counted(found.put_back, "job"))
            self._wait_s = 0.0
        return bool(found.put_back or found.left_alone)

    def _is_ours(self, lease: Lease) -> bool:
        if is_our_payload(lease.data, lease.job):
            return True
        log.error("set aside: job %s on %s carries a payload that is not ours", lease.job, lease.queue)
        self._settler.settle([set_aside(lease)])
        return False

    def _perform(self, begun: Begun) -> None:
        """In a thread of the pool."""
        lease, job = begun.lease, begun.job
        if begun.in_hand and self._clock.steady() - begun.at_s > LONGEST_S:  # while the loop waits for Redis, say
            self._completions.put(not_begun(begun))
            return
        try:
            if lease.execution in self._stopped:
                raise StoppedError
            question = self._ledger.question(job.question_id)
            ready = partial(self._unready.pop, lease.execution, None)
            ended = self._task.perform(job, question, suspect=bool(lease.suspect), ready=ready)
        except StoppedError as error:  # while it waited in hand
            ended = ExecutionResult(outcome=Refused(), error=error)
        except StoreError as error:
            log.warning("job %s goes back: %s", job.job_id, error)
            ended = ExecutionResult(outcome=Unreachable(), error=error)
        except Exception as error:  # the end of a thread: a fault of ours fails this job alone, in plain sight
            if (short := out_of_memory(error)) is None:
                log.exception("job %s: a fault in chartq, please report it", job.job_id)
                ended = ExecutionResult(outcome=Refused(), error=error)
            else:  # in the middle of a call, which may be paid for
                ended = ExecutionResult(outcome=self._task.decided(short, job), error=short, called=True)
        if lease.execution in self._stopped and not isinstance(ended.outcome, Done):
            ended = dataclasses.replace(ended, outcome=Refused(), error=StoppedError())
        self._completions.put(FinishedExecution(lease=lease, ended=ended, batch_id=job.batch_id))

    # Leaving -------------------------------------------------------------------------------------------

    def _go(self) -> None:
        """Give back what is still in flight, and say goodbye. Best effort: leases run out by themselves."""
        self._maintenance.stop()
        self._recall()
        try:
            self._give_back_rest()
            self._heartbeat.stop()
            self._lane_client.leave()
            self.deregister()
        except (RedisError, StoreError, OSError) as error:
            self._heartbeat.stop()
            log.warning("left without goodbye, other workers take over within a minute: %s", error)
        self._pool.close()
        with suppress(RedisError, OSError):
            self.stop_listening()
        self.shutdown.complete()
        log.info("worker %s stopped", self.name)

    def _give_back_rest(self) -> None:
        self._settler.add(self._completions.wait(0.0, in_flight=0))
        self._settler.record_all()
        rest = self._calls()
        if rest:
            log.info("giving back %s still in flight", counted(len(rest), "job"))
            self._ledger.record([returned(lease) for lease in rest], now=self._lane_client.now())
        self._settler.settle(given_back(lease, used=True) for lease in rest)
        self._settler.finish()
