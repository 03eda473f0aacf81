"""Maintenance: takes over from workers that are lost, puts back what Redis has lost, empties queues on hold.

Every worker has one; a lock in Redis sees to it that one at a time is at work.
"""

import logging
import threading
import time

from redis.exceptions import RedisError

from jobs.batches.reconcile import MAX_LOSSES, PAGE, TWO_HEARTBEATS_S, drop_held, put_back_all, refill, requeue_missing
from jobs.core.errors import InputError, QueueError, StoreError
from jobs.core.text import counted
from jobs.ledger import Ledger
from worker.engine.exchange import Move, Settlement
from worker.engine.heartbeat import Heartbeat
from worker.engine.lane_client import LaneClient
from worker.engine.payload import is_our_job_id

log = logging.getLogger("chartq.worker")

#: Seconds between two rounds. With LEASE_S and two heartbeats, a lost worker's jobs run again within 30 s.
ROUND_S = 2.0

#: Pages that a round looks at, to see whether Redis still knows their jobs.
_PAGES_A_ROUND = 5

#: After a whole look through the open rows, seconds until the next: Redis rarely loses single jobs.
_SWEEP_PAUSE_S = 30.0

#: Executions taken over in one round.
_LOST_AT_A_TIME = 200

#: Three rounds: a worker that is lost meanwhile must not hold up the others for long.
_TURN_S = 6.0


class Maintenance:
    """Runs in a thread of its own, so that neither heartbeats nor calls wait for it."""

    def __init__(self, ledger: Ledger, lane_client: LaneClient, heartbeat: Heartbeat) -> None:
        self._ledger, self._lane_client, self._heartbeat = ledger, lane_client, heartbeat
        self._queues = lane_client.queues
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._after_id = 0
        self._sweep_at = 0.0  # monotonic
        self._look_again_at: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(ROUND_S):
            try:
                self._round()
            except (RedisError, StoreError, QueueError, OSError) as error:
                log.debug("maintenance: %s", error)
            except Exception:  # nobody would take over from lost workers any more
                if self._stopping.is_set():
                    return  # Redis or the ledger was closed under a round that took too long
                log.exception("maintenance: a fault in chartq, please report it")

    def _round(self) -> None:
        if not self._lane_client.may_maintain(_TURN_S):
            return
        self._keep_controls()
        self._restore_redis()
        self._take_over()
        for batch_id, jobs in drop_held(self._ledger, self._queues).items():
            log.warning("too many failures: %s waiting for `chartq resume %s`", counted(jobs, "job"), batch_id)
        self._refill()
        self._ledger.remove_hidden()  # what a deletion that was interrupted has left
        self._sweep()

    def _keep_controls(self) -> None:
        """Pauses end at their time; and Redis hears what a command that died has told the ledger alone."""
        for batch in self._ledger.end_pauses_that_are_over(self._lane_client.now()):
            put_back_all(self._ledger, self._queues, batch=batch)
            log.info("batch %s goes on: its pause is over", batch.batch_id)
        self._lane_client.bring_controls()

    def _restore_redis(self) -> None:
        """All at once after Redis lost everything, and once more when what was in flight has been reported."""
        due = self._look_again_at is not None and time.monotonic() >= self._look_again_at
        if not (self._heartbeat.redis_is_new.is_set() or due):
            return
        self._heartbeat.redis_is_new.clear()
        found = put_back_all(self._ledger, self._queues)
        if found.put_back:
            log.warning("Redis had lost %s: put back", counted(found.put_back, "job"))
        again_at = time.monotonic() + TWO_HEARTBEATS_S + 1
        self._look_again_at = again_at if found.left_alone else None

    def _refill(self) -> None:
        """Of a large batch Redis has only the jobs that are next."""
        for lane, batch_id in self._queues.half_empty():
            try:
                refill(self._ledger, self._queues, self._ledger.batch(batch_id))
            except InputError:  # it was deleted
                self._queues.nothing_beyond(lane=lane, batch_id=batch_id)

    def _take_over(self) -> None:
        found = self._lane_client.expired(_LOST_AT_A_TIME)
        if not self._heartbeat.is_steady:  # asked now: that reply has just told Redis's time
            return
        forged = [Settlement(lease=lease, to="refuse") for lease, _ in found if not is_our_job_id(lease.job)]
        lost = [(lease, worker) for lease, worker in found if is_our_job_id(lease.job)]
        if forged:
            self._lane_client.move(forged)
        if not lost:
            return
        fates = self._ledger.lose(
            [(lease.job, lease.execution) for lease, _ in lost], max_losses=MAX_LOSSES, now=self._lane_client.now()
        )
        # Neither again nor failed: it never got as far as the ledger, or has ended there.
        moves: dict[str, Move] = dict.fromkeys(fates.again, "alone")
        moves.update((job, "failed") for job in fates.failed)
        settlements = [
            Settlement(lease=lease, to=moves.get(lease.job, "front"), worker=worker) for lease, worker in lost
        ]
        self._lane_client.move(settlements)
        log.warning("lost with their worker: %s, to run again, each alone", counted(len(lost), "job"))

    def _sweep(self) -> None:
        if time.monotonic() < self._sweep_at:
            return
        for _ in range(_PAGES_A_ROUND):
            rows = self._ledger.open_jobs(self._after_id, PAGE)
            requeue_missing(self._ledger, self._queues, rows)
            if len(rows) < PAGE:
                self._after_id, self._sweep_at = 0, time.monotonic() + _SWEEP_PAUSE_S
                return
            self._after_id = rows[-1].id
