"""One results store and one Redis belong together; who would work with another one is refused.

Two stores on one Redis would take and drop each other's jobs; two Redis for one store would each ask, and pay for,
all of it. Redis says which store has claimed it. The store says which Redis is its own, by an id that Redis was given
once, and when somebody last worked through it: one that merely lost everything, or moved, is not a stranger.
"""

import logging
import secrets
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.config.settings import Settings
from jobs.config.token_destination import is_loopback
from jobs.core.controls import Controls
from jobs.core.errors import QueueError
from jobs.ledger import Ledger, RedisMark

if TYPE_CHECKING:
    from jobs.lanes import LaneQueues

log = logging.getLogger("chartq")

#: Whoever works says so again after this long. A mark lives three times as long (`redis_is_free` in the store's SQL).
RENEWAL_S = 10.0

_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A store and a Redis. `place`: the Redis, for people, and so that no other has the same."""

    ledger: Ledger
    queues: "LaneQueues"
    place: str
    #: Nobody else can have this Redis, as it stands in our home.
    redis_is_ours: bool

    def check(self) -> None:
        """Raise QueueError if they don't belong together. Writes nothing."""
        if other := self.ledger.other_redis(self._owner(None), self.place):
            raise self._other_redis(other)

    def claim(self, *, waits: bool) -> Controls:
        """From now on they belong together. Returns what Redis is to be told. Raises QueueError as `check`.

        Another Redis may have been left just now: with `waits` that is known within half a minute.
        """
        seen_at = None
        while other := self._take():
            if not waits or seen_at not in (None, other.seen_at):
                raise self._other_redis(other)
            if seen_at is None:
                log.warning("somebody worked through the Redis %s just now: waiting whether they still do", other.place)
            seen_at = other.seen_at
            time.sleep(_POLL_S)
        return self.ledger.controls()

    def _take(self) -> RedisMark | None:
        mark = self.ledger.redis_mark()
        forgot = mark is not None and mark.place == self.place
        redis_id = self._owner(mark.id if mark and forgot else secrets.token_hex(8))
        assert redis_id is not None  # it has been given one
        if mark and forgot and mark.id == redis_id and 0 <= mark.age_s < RENEWAL_S / 2:
            return None
        return self.ledger.mark_redis(redis_id, self.place)

    def _owner(self, new_id: str | None) -> str | None:
        """The id of this Redis. Raises QueueError if another store works through it, or its jobs are another's."""
        controls = Controls(store=self.ledger.store_id(), label=self.ledger.label)
        redis_id, jobs = self.queues.owner(controls, ours=self.redis_is_ours, new_id=new_id)
        if jobs and len(self.ledger.job_states(jobs)) < len(set(jobs)):
            raise QueueError(
                f"this Redis has jobs of another project, which the results store {self.ledger.label} doesn't know; "
                "our workers would drop them. Use another Redis, or another database of it "
                "(REDIS_URL=redis://HOST:PORT/1), or that project's RESULTS_URL"
            )
        return redis_id

    def _other_redis(self, other: RedisMark) -> QueueError:
        return QueueError(
            f"the results store {self.ledger.label} is in use through another Redis, {other.place}; this one is "
            f"{self.place}, and charts would be asked, and paid for, twice. Set REDIS_URL as it is there (unset it for "
            "the embedded one), or end what works there, and try again half a minute later"
        )


def redis_place(settings: Settings) -> str:
    """Where the settings' Redis is, for people. What can be reached from its machine alone is said to be there."""
    if settings.redis_url is None:
        return f"embedded in {settings.chartq_home.absolute()} on {socket.gethostname()}"
    from redis.connection import parse_url

    found = parse_url(settings.redis_url.get_secret_value())  # type: ignore[no-untyped-call]
    host = found.get("path") or found.get("host", "localhost")
    port = "" if "path" in found else f":{found.get('port', 6379)}"
    here = f" on {socket.gethostname()}" if "path" in found or is_loopback(host) else ""
    return f"at {host}{port}/{found.get('db', 0)}{here}"
