"""What a command works with: the settings' ledger and Redis, opened when first needed, closed together."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from jobs.batches.documents import batch_document, result_document
from jobs.batches.results import Results, with_sources
from jobs.batches.shapes import BatchDocument
from jobs.config.home import make_home
from jobs.config.settings import Settings
from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.controls import Controls
from jobs.core.errors import QueueError, StoreError
from jobs.core.pages import pages
from jobs.ledger import Batch, Counts, Ledger, RowFilter, StoreUrl
from jobs.ledger.counts import RECENT_S
from jobs.schemas import schema_of

if TYPE_CHECKING:
    from redis import Redis

    from jobs.batches.pairing import Pair
    from jobs.lanes import Gate, Gates, LaneQueues
    from jobs.submit.submit import Order, Submitted

# Redis and its libraries, a tenth of a second, are loaded when they are needed, and so is what submits: what has ended
# is told without.

T = TypeVar("T")

#: The SQLite file of the results store under CHARTQ_HOME.
RESULTS_FILE = "results.sqlite"

#: So long a claim on Redis goes without saying, as the requests of one server are many.
_CLAIM_TRUSTED_S = 2.0

#: Batches whose documents are made at a time.
PAGE = 100


def store_url(settings: Settings) -> StoreUrl:
    """Where the settings' results store is. Raises SettingsError."""
    if settings.results_url is not None:
        return StoreUrl.parse(settings.results_url.get_secret_value())
    return StoreUrl.of_file(settings.chartq_home / RESULTS_FILE)


def _make_home(home: Path) -> None:
    """As `make_home`; what the system refuses is told with the way out. Raises StoreError."""
    try:
        make_home(home)
    except OSError as error:
        raise StoreError(
            f"CHARTQ_HOME={home} can't hold the results: {error.filename or home}: {error.strerror or error}. "
            "Set CHARTQ_HOME to a folder that you can write to"
        ) from None


class Session:
    """The producer's half of chartq for one set of settings. A context manager; not for several threads at once.

    `shared`: another session, which may be many threads' at a time; its store and its Redis are this one's too.
    """

    def __init__(self, settings: Settings, *, clock: Clock = SYSTEM_CLOCK, shared: "Session | None" = None) -> None:
        self.settings, self.clock, self._shared = settings, clock, shared
        self._opening = threading.RLock()
        #: Why `statuses` and `document` had to do without Redis: holds and waits are then missing from what they say.
        self.degraded_reason: str | None = None
        #: What is paused and limited, while documents are made of one moment: read once for all their lanes.
        self._just_read: Controls | None = None
        self._open = ExitStack()
        #: When this Redis was last claimed for the store (Unix time).
        self._claimed_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    @cached_property
    def results_url(self) -> StoreUrl:
        """Raises SettingsError."""
        return store_url(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """Raises StoreError, SettingsError."""
        if self._shared is not None:
            with self._shared._opening:
                return self._shared.ledger
        if self.settings.results_url is None:
            _make_home(self.settings.chartq_home)
        return self._open.enter_context(Ledger.open(self.results_url))

    @cached_property
    def redis(self) -> "Redis":
        """Raises QueueError, InstallationError."""
        if self._shared is not None:
            with self._shared._opening:
                return self._shared.redis
        from jobs.broker.connect import redis_connection

        return self._open.enter_context(redis_connection(self.settings))

    def revive_redis(self) -> None:
        """Start the embedded server again if it has died; somebody else looks after one at REDIS_URL."""
        if self.settings.redis_url is None:
            from jobs.broker.embedded import embedded_redis

            with embedded_redis(self.settings.chartq_home):
                pass

    @cached_property
    def queues(self) -> "LaneQueues":
        """For who changes something: this Redis is the store's from now on. Raises QueueError if it is a stranger."""
        root = self._shared or self
        if abs(time.time() - root._claimed_at) > _CLAIM_TRUSTED_S:
            self.bring_controls()
            root._claimed_at = time.time()
        return self.pair.queues

    @cached_property
    def gates(self) -> "Gates":
        """For who looks. Raises QueueError if Redis is a stranger to the store; claims nothing."""
        from jobs.lanes import Gates

        self.pair.check()
        return Gates(self.redis, self.clock, lambda: self._just_read or self.ledger.controls())

    @cached_property
    def pair(self) -> "Pair":
        """Redis and store, and whether they belong together."""
        from jobs.batches.pairing import Pair, redis_place
        from jobs.lanes import LaneQueues

        return Pair(
            ledger=self.ledger,
            queues=LaneQueues(self.redis, self.clock),
            place=redis_place(self.settings),
            redis_is_ours=self.settings.redis_url is None,
        )

    def claim(self) -> Controls:
        """What Redis is to be told. Raises QueueError if it is a stranger to the store; see `jobs.batches.pairing`.

        A request doesn't wait to find out whether it is one.
        """
        return self.pair.claim(waits=self._shared is None)

    def now(self) -> float:
        """Seconds since the epoch by Redis's clock: what several hosts compare was told by one. Raises RedisError."""
        return self.pair.queues.now()

    def submit(self, order: "Order", *, resume_existing: bool = False, **hooks: Any) -> "Submitted":
        """See `jobs.submit.submit.submit`. Raises QueueError too if Redis is a stranger to the store."""
        from jobs.submit.submit import submit

        return submit(self.ledger, self.queues, order, resume_existing=resume_existing, **hooks)

    def status(self, batch: Batch) -> BatchDocument:
        """The batch's document, as it stands now."""
        batch = self.ledger.batch(batch.batch_id)
        now, counts, controls = self._counted([batch], self.now)
        gates = self.gates_of(batch) if counts[batch.id].open else []
        return batch_document(batch, counts[batch.id], gates, now=now, controls=controls)

    def statuses(self, batches: Iterable[Batch]) -> Iterator[BatchDocument]:
        """The documents of many batches, just read: a statement for each hundred, a look at each lane's gates."""
        gates: dict[str, list[Gate]] = {}
        for page in pages(batches, PAGE):
            now, counts, controls = self._counted(page, self.now_if_possible)
            for batch in (one for one in page if one.id in counts):
                lane, unfinished = batch.question.lane, counts[batch.id].open > 0
                if unfinished and lane not in gates:
                    self._just_read = controls
                    gates[lane] = self.gates_if_possible(batch)
                    self._just_read = None
                known = gates[lane] if unfinished else []
                yield batch_document(batch, counts[batch.id], known, now=now, controls=controls)

    def _counted(
        self, batches: Sequence[Batch], redis_now: Callable[[], float]
    ) -> tuple[float, dict[int, Counts], Controls]:
        """Where they stand, but for those deleted since, and what is paused and limited.

        And the time by Redis's clock, which dates the pace; ours, when all have ended.
        """
        here = self.clock.now()
        counts, controls = self.ledger.counts_and_controls(batches, recent_since=here - RECENT_S)
        if not any(one.open for one in counts.values()):
            return here, counts, controls
        now = redis_now()
        if abs(now - here) > 1:
            counts, controls = self.ledger.counts_and_controls(batches, recent_since=now - RECENT_S)
        return now, counts, controls

    def document(self, batch_id: str) -> BatchDocument:
        """The batch's document, without Redis if it has ended or Redis is away. Raises UnknownIdError."""
        return next(self.statuses([self.ledger.batch(batch_id)]))

    def results(self, batch: Batch, **options: Any) -> Results:
        """The batch's result documents, read as they are asked for; see `Results` for the options."""
        return Results(ledger=self.ledger, batch=batch, **options)

    def window(self, batch: Batch, only: RowFilter, *, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Some result documents without `raw`, with the answers that they ask about, and how many rows fit in all."""
        structured = schema_of(batch.question) is not None
        found = self.ledger.results_window(batch, only, offset=offset, limit=limit)
        rows = iter([result_document(row, structured=structured) for row in found])
        if only.is_counted:
            counts = self.ledger.counts(batch, recent_since=self.clock.now())
            total = getattr(counts, only.status or "total")
        else:
            total = self.ledger.count_results(batch, only)
        return list(with_sources(self.ledger, batch, rows) if batch.source else rows), total

    def gates_of(self, batch: Batch) -> "list[Gate]":
        return self.gates.of_lane(batch.question.lane)

    def gates_if_possible(self, batch: Batch) -> "list[Gate]":
        """The counts are the ledger's, and are told whatever has become of Redis."""
        return self._if_possible(lambda: self.gates_of(batch), [])

    def now_if_possible(self) -> float:
        return self._if_possible(self.now, self.clock.now())

    def _if_possible(self, ask_redis: Callable[[], T], otherwise: T) -> T:
        if self.degraded_reason is None:
            from redis.exceptions import RedisError

            from jobs.broker.error_text import redis_trouble

            try:
                return ask_redis()
            except (QueueError, RedisError) as error:
                self.degraded_reason = redis_trouble(error)
        return otherwise

    def bring_controls(self) -> None:
        """Redis hears it at once; should it not, a worker brings it within seconds."""
        self.pair.queues.set_controls(self.claim(), ours=self.pair.redis_is_ours)
