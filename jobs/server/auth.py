"""Who asks? With keys every request but `/health` needs one; without any, programs of this machine are let in."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.batches.session import Session
from jobs.config.token_destination import is_loopback
from jobs.server.errors import ApiError
from jobs.server.guard import route_path

#: Paths that tell nothing, and need no key.
OPEN_PATHS = frozenset({"/health", "/"})

#: What the page is made of.
PAGE_PATH = "/page/"

#: Seconds for which what the ledger said of a key is believed: so long a revoked one may still open.
_FRESH_S = 1.0

#: Keys that are remembered.
_REMEMBERED = 1000

#: Requests that change nothing.
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. `name`: the key's; "" where there are no keys, and all is everybody's."""

    name: str = ""
    read_only: bool = False


ANYBODY = Caller()


class Callers:
    """From an `Authorization` header to who asks. Safe for threads."""

    def __init__(self, new_session: Callable[[], Session], *, key_required: bool = False) -> None:
        self._new_session, self._key_required, self._lock = new_session, key_required, threading.Lock()
        self._known: dict[bytes, tuple[float, Caller | None]] = {}

    def remembered(self, authorization: str) -> tuple[bool, Caller | None]:
        """Whether it is known without a look, and then who it is; None: nobody."""
        with self._lock:
            until, caller = self._known.get(_digest(authorization), (0.0, None))
        return time.monotonic() < until, caller

    def look(self, authorization: str) -> Caller | None:
        """Who it is, as the ledger says. Raises StoreError."""
        ledger = self._new_session().ledger
        caller: Caller | None = ANYBODY
        # Once there were keys there always are: that the last one is revoked opens no door.
        if self._key_required or ledger.count_api_keys()[0]:
            scheme, _, key = authorization.partition(" ")
            found = ledger.check_api_key(key.strip()) if scheme.lower() == "bearer" else None
            caller = None if found is None else Caller(name=found.name, read_only=found.read_only)
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[_digest(authorization)] = (time.monotonic() + _FRESH_S, caller)
        return caller


class Authentication:
    """ASGI middleware: what gets through has `scope["state"]["caller"]`."""

    def __init__(self, app: ASGIApp, callers: Callers, loopback_only: bool, changed: Callable[[], None]) -> None:
        """`changed` hears of every request that may have changed something."""
        self._app, self._callers, self._loopback_only, self._changed = app, callers, loopback_only, changed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["state"]["caller"] = await self._admitted(scope)

        async def told(message: Message) -> None:
            """Who changes something is told only when nobody is shown any more how it was."""
            if message["type"] == "http.response.start" and scope["method"] not in _READING:
                self._changed()
            await send(message)

        await self._app(scope, receive, told)

    async def _admitted(self, scope: Scope) -> Caller:
        """Raises ApiError, StoreError."""
        path = route_path(scope)
        if path in OPEN_PATHS or path.startswith(PAGE_PATH):
            return ANYBODY
        headers = Headers(scope=scope)
        authorization = headers.get("authorization", "")
        known, caller = self._callers.remembered(authorization)
        if not known:
            caller = await run_in_threadpool(self._callers.look, authorization)
        if caller is None:
            what = "this key opens nothing" if authorization else "a key is needed"
            raise ApiError(
                401,
                f"{what}: send Authorization: Bearer KEY; `chartq keys create NAME` makes one",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        if caller is ANYBODY:
            check_origin(headers, loopback_only=self._loopback_only)
        scope["state"]["key_name"] = caller.name or None
        if caller.read_only and scope["method"] not in _READING:
            raise ApiError(403, "this key only reads", type_="permission_error", code="read_only_key")
        return caller


def check_origin(headers: Headers, *, loopback_only: bool) -> None:
    """No web page of elsewhere acts through a browser on this machine. Raises ApiError.

    A page may send forms to 127.0.0.1 without asking, and by a name of its own that leads here it could read too.
    """
    host = headers.get("host", "")
    if loopback_only and not is_loopback(_parts(f"//{host}").hostname or ""):
        raise ApiError(403, f"there is no host {host[:100]!r} here: use 127.0.0.1 or localhost", code="wrong_host")
    origin = headers.get("origin")
    from_elsewhere = origin is not None and _parts(origin).netloc != host
    if from_elsewhere or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ApiError(403, "web pages of elsewhere are not let in", code="cross_site")


def _parts(url: str) -> SplitResult:
    """Those of nothing, if it is no URL."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _digest(authorization: str) -> bytes:
    """Keys are not kept in memory."""
    return hashlib.sha256(authorization.encode("utf-8", "replace")).digest()
