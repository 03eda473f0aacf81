"""Around every request: an id, bounds on its body and on slow clients, safe headers, a line in the log."""

import asyncio
import logging
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.server.errors import ApiError, Trouble, api_error

log = logging.getLogger("chartq.server")
access = logging.getLogger("chartq.access")

#: Bytes of a body, by what its path begins with; the first that fits. What is not named takes the last.
BODY_LIMITS: tuple[tuple[str, int], ...] = (
    ("/analyze", 51_000_000),  # one picture of 50 MB, and the form around it
    ("/batches", 2_000_000_000),
    ("/v1/files", 201_000_000),
    ("/v1/chat/completions", 70_000_000),  # a picture of 50 MB in base64
    ("", 1_000_000),
)

#: The slowest pace of a body: so many bytes, or its end, for so many seconds that are waited for it.
_PACE_BYTES, _PACE_S = 30_000, 30.0

#: Seconds that a whole body may take.
_BODY_S = 3600.0

#: Seconds that a client may take to read what was sent to it before more is.
_UNREAD_S = 60.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HEADERS = (("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("referrer-policy", "no-referrer"))


class Guard:
    """ASGI middleware. Whatever goes wrong within, the client gets an error in the one shape."""

    def __init__(self, app: ASGIApp, trouble: Trouble) -> None:
        self._app, self._trouble = app, trouble

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            exchange.check_length()
            await self._app(exchange.routed, exchange.receive, exchange.send)
        except ClientGoneError:
            pass
        except Exception as error:  # the last one who can tell the client, and the log
            self._trouble.meet(error)
            answer = api_error(error)
            if answer.status == 500:
                log.exception("%s %s: a fault in chartq, please report it", scope["method"], exchange.path)
            if exchange.status is None:
                with suppress(ClientGoneError):
                    await answer.response()(scope, exchange.receive, exchange.send)
        finally:
            exchange.log()


@dataclass
class Pace:
    """How a body comes. Only what is waited for the client counts: not the time that its last piece took us."""

    waited_s: float = 0.0
    brought: int = 0

    @property
    def left_s(self) -> float:
        """So long the next piece may take."""
        return max(0.0, _PACE_S - self.waited_s)

    def took(self, waited_s: float, size: int) -> None:
        """A piece has come."""
        self.waited_s += waited_s
        self.brought += size
        if self.brought >= _PACE_BYTES:
            self.waited_s, self.brought = 0.0, 0


class ClientGoneError(Exception):
    """Nobody reads the answer any more, or too slowly."""


class Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.monotonic()
        self._limit = body_limit(route_path(scope))
        self._received = self._sent = 0
        self._body_over = False
        self._pace = Pace()
        self.status: int | None = None
        asked = _header(scope, b"x-request-id")
        self.id = asked if _REQUEST_ID.fullmatch(asked) else f"req_{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = self.id

    @property
    def routed(self) -> Scope:
        """The request as the routes meet it: what can be got can be asked for its head too, as RFC 9110 wants."""
        return {**self._scope, "method": "GET"} if self._is_head else self._scope

    @property
    def _is_head(self) -> bool:
        return bool(self._scope["method"] == "HEAD")

    @property
    def path(self) -> str:
        """Without the query, and with nothing in it that a log or terminal would obey."""
        return quote(self._scope["path"])[:300]

    def check_length(self) -> None:
        length = _header(self._scope, b"content-length")
        if length.isdigit() and (len(length) > 18 or int(length) > self._limit):
            raise self._too_large()

    async def receive(self) -> Message:
        """The next piece of the body. Raises ApiError: too large, too slow."""
        if self._body_over:
            return await self._receive()  # waits for the client to leave
        asked_at = time.monotonic()
        left_s = max(0.0, self._began + _BODY_S - asked_at)
        try:
            async with asyncio.timeout(min(self._pace.left_s, left_s)):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "the request's body came too slowly", code="timeout") from None
        size = len(message.get("body", b""))
        self._pace.took(time.monotonic() - asked_at, size)
        self._received += size
        self._body_over = not message.get("more_body", False)
        if self._received > self._limit:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Raises ClientGoneError."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            for name, value in _HEADERS:
                headers.setdefault(name, value)
        is_cut = self._is_head and message.get("more_body", False)
        if self._is_head and message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b""}
        self._sent += len(message.get("body", b""))
        try:
            async with asyncio.timeout(_UNREAD_S):
                await self._send(message)
        except (TimeoutError, OSError) as error:
            raise ClientGoneError from error
        if is_cut:
            raise ClientGoneError  # nobody reads on: an event stream has no end

    def log(self) -> None:
        took_s = time.monotonic() - self._began
        client = (self._scope.get("client") or ("-",))[0]
        access.info(
            "%s %s %s %s %.3f s",
            client,
            self._scope["method"],
            self.path,
            self.status or "-",
            took_s,
            extra={
                "event": "http_request",
                "method": self._scope["method"],
                "path": self.path,
                "status": self.status,
                "took_s": round(took_s, 4),
                "bytes_in": self._received,
                "bytes_out": self._sent,
                "request_id": self.id,
                "key": self._scope["state"].get("key_name"),
                "client": client,
            },
        )

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the request's body is larger than {self._limit:,} bytes", code="too_large")


def body_limit(path: str) -> int:
    """Bytes that a body to this path may have."""
    return next(limit for start, limit in BODY_LIMITS if path.startswith(start))


def route_path(scope: Scope) -> str:
    """The path within the app, wherever that is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
