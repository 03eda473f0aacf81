"""The stand-in as a thing to start and stop."""

from dataclasses import replace
from threading import Thread
from typing import Any

from jobs.config.settings import Settings
from jobs.core.clock import SYSTEM_CLOCK, Clock
from jobs.core.rates import RateLimits
from jobs.core.secret import Secret
from worker.rehearsal.behaviour import Behaviour
from worker.rehearsal.http_server import HttpServer
from worker.rehearsal.record import Record
from worker.rehearsal.state import SentAt, ServerState

#: How often the accepting thread looks whether it should stop; stop() waits for that.
_POLL_S = 0.02


class Rehearsal:
    """The server. `with Rehearsal(...) as server:`, or start() and stop(), also in turns: the port stays."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        clock: Clock = SYSTEM_CLOCK,
        sent_at: SentAt | None = None,
    ) -> None:
        """`host`: the address to listen on; in a container 0.0.0.0, for the others of its network.

        `clock`: whose seconds latency, budgets, hints and loading are counted in. `sent_at`: see `SentAt`.
        """
        self._state = ServerState(behaviour or Behaviour(), clock, sent_at)
        self._port, self._host = port, host
        self._http: HttpServer | None = None
        self._thread: Thread | None = None

    @property
    def root_url(self) -> str:
        """Where it is, from this machine; the base of the task routes (HF_API=task)."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What HF_BASE_URL is set to."""
        return f"{self.root_url}/v1"

    def settings(self, settings: Settings) -> Settings:
        """The same with this server in the provider's place: nobody's token, account and limits."""
        return replace(
            settings,
            hf_token=Secret("hf_rehearsal_only"),
            hf_base_url=self.base_url if settings.hf_api == "chat" else self.root_url,
            hf_bill_to=None,
            hf_rate_limit=RateLimits(),
            rehearsal=True,
        )

    @property
    def record(self) -> Record:
        """What it saw."""
        return self._state.record

    @property
    def behaviour(self) -> Behaviour:
        return self._state.behaviour

    def behave(self, **changes: Any) -> None:
        """From the next call on, with these fields of Behaviour changed, all at once."""
        self._state.behave(**changes)

    def start(self) -> "Rehearsal":
        if self._http is not None:
            raise RuntimeError("the rehearsal server is running already")
        self._http = HttpServer(self._state, self._port, self._host)
        self._port = self._http.server_port
        name = f"rehearsal-{self._port}"
        self._thread = Thread(target=self._http.serve_forever, args=(_POLL_S,), name=name, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close everything at once, hanging calls included. Whoever calls then is refused the connection."""
        http, thread = self._http, self._thread
        if http is None or thread is None:
            return
        self._http = self._thread = None
        http.shutdown()
        thread.join()
        http.server_close()
        http.hang_up()

    def __enter__(self) -> "Rehearsal":
        return self.start()

    def __exit__(self, *_raised: object) -> None:
        self.stop()
