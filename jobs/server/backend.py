"""What all requests share: the settings' store and Redis, who looks at them for those who wait, and what serves."""

import atexit
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobs.batches.cost import PricesOf, no_prices
from jobs.batches.session import Session
from jobs.config.settings import Settings
from jobs.core.errors import ChartqError
from jobs.server.auth import Callers
from jobs.server.errors import ApiError, Trouble
from jobs.server.intake import Intake
from jobs.server.provider import ListModels, Provider
from jobs.server.recent import Recent
from jobs.server.watcher import Watcher
from jobs.submit.single import SingleQuestions

log = logging.getLogger("chartq.server")

#: Bytes of bodies that are in memory at a time, all requests together.
_MEMORY_BYTES = 256_000_000


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the app is lent by who runs it: it neither calls the provider nor works itself."""

    list_models: ListModels = lambda: ()
    #: What the provider takes for a model's tokens.
    prices_of: PricesOf = no_prices
    #: Says that there is work, to a worker in the same process.
    work_arrived: Callable[[], None] = lambda: None
    #: It was promised to listen on this machine alone.
    loopback_only: bool = False
    #: A key is asked for even while none was made.
    key_required: bool = False


@dataclass(kw_only=True)
class Backend:
    """Opened with the first request; safe for many threads."""

    settings: Settings
    services: Services = field(default_factory=Services)
    #: Whose store and Redis are used, and stay open in the end; None: its own are opened.
    lender: Session | None = None

    def __post_init__(self) -> None:
        self._shared = self.lender or Session(self.settings)
        self._lock = threading.Lock()
        self._in_memory = 0
        self.watcher = Watcher(self.session)
        self.recent = Recent()
        self.trouble = Trouble()
        self.questions = SingleQuestions()
        self.callers = Callers(self.session, key_required=self.services.key_required)
        self.provider = Provider(self.services.list_models, self.services.prices_of)
        self.intake = Intake(self.session, self.services.work_arrived)
        # An app that is mounted in another one is not told that it ends.
        self._at_exit = atexit.register(partial(_close_if_there, weakref.ref(self)))

    def session(self) -> Session:
        """A view of the one store and Redis for one request."""
        return Session(self.settings, shared=self._shared)

    def close(self) -> None:
        """End what was opened, once. The app may not be used afterwards."""
        atexit.unregister(self._at_exit)
        self.watcher.stop()
        self.intake.stop()
        if self.lender is None:
            with self._shared:
                pass

    def revive_redis(self, error: Exception) -> None:
        """An embedded Redis that died has nobody else to start it again, if no worker runs."""
        if isinstance(error, RedisConnectionError):
            try:
                self._shared.revive_redis()
            except (ChartqError, RedisError, OSError) as trouble:
                log.warning("the embedded Redis can't be started again: %s", trouble)

    def hold_in_memory(self, size: int) -> None:
        """So many bytes more are kept for a request. Raises ApiError if all requests together have too many."""
        with self._lock:
            if self._in_memory + size > _MEMORY_BYTES:
                raise ApiError(503, "too many uploads at a time: try again in a moment", headers={"Retry-After": "2"})
            self._in_memory += size

    def release_memory(self, size: int) -> None:
        with self._lock:
            self._in_memory -= size


def _close_if_there(found: "weakref.ref[Backend]") -> None:
    if (backend := found()) is not None:
        backend.close()
