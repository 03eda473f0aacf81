"""uvicorn, bounded: slow and silent clients are sent away, and leaving takes no longer than the grace."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobs.core.errors import ChartqError
from jobs.core.text import one_line
from jobs.server.errors import ApiError

#: Seconds that a client gets to send a request's head, and that an idle connection is kept.
_HEAD_S, _IDLE_S = 15.0, 15

#: Bytes of a request's head.
_HEAD_BYTES = 32_768

#: Connections at a time; the next ones are answered with 503.
_CONNECTIONS = 2000


class CantListenError(ChartqError):
    """The address can't be listened at."""


class BoundedProtocol(H11Protocol):
    """uvicorn waits for ever for a request whose head comes a byte at a time, or never: this doesn't."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._forget_head()
        self._head_timer = self.loop.call_later(_HEAD_S, self._on_head_overdue)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_overdue(self) -> None:
        """Also where a body still trickles that nobody reads, since its request was refused."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """A head or a body that is no HTTP: told in the one shape, unless an answer has begun already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            error = ApiError(
                400, f"this is no HTTP/1.1 request, or its head is larger than {_HEAD_BYTES:,} bytes: {msg}"
            )
            body = bytes(error.response().body)
            length = str(len(body)).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            # As once the connection is lost, which may come later than what the route answers to nobody.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


class ChartqServer(uvicorn.Server):
    """Leaves in order at the first SIGTERM or SIGINT, at once at the second."""

    def __init__(self, config: uvicorn.Config, leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._leaving = leaving

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Unlike uvicorn's own, which raises the signal once more when all is over: an orderly end is a success."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.leave()

    def leave(self) -> None:
        """Take no new request. Safe from any thread."""
        self.should_exit = True
        self._leaving()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CantListenError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise CantListenError(
            f"{one_line(host)}:{port} can't be listened at: {why}; another one: --host, --port"
        ) from error


def server(app: Any, *, grace_s: float, leaving: Callable[[], None]) -> ChartqServer:
    """A server for the app; `leaving` is called when it is told to leave, maybe from a signal's handler."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
        h11_max_incomplete_event_size=_HEAD_BYTES,
        limit_concurrency=_CONNECTIONS,
    )
    return ChartqServer(config, leaving)
