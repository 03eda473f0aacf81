"""One HTTP call: a whole reply within a deadline, or a typed error. Knows nothing of models.

This is the boundary at which requests', urllib3's and the socket's exceptions become ours. They are never
chained to ours: their requests carry the token.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from worker.hf.connections import WatchedAdapter, carrying, check_proxy
from worker.hf.deadline import Call, Watchdog
from worker.hf.errors import HFAPIError, HFBadAnswerError, HFConnectionError, HFTimeoutError, HFUnreachableError
from worker.hf.request_body import Body
from worker.hf.scrub import Scrubber

#: Most bytes of a reply, decoded, that are read: Hugging Face's list of all models has under 1 MB.
MAX_BODY_BYTES = 8_000_000

#: Most bytes that are read of an error page.
MAX_ERROR_BODY_BYTES = 64_000

#: A pooled connection that breaks within this many seconds, without a byte of reply, had been closed by the
#: server before the call; later, the server has taken the call and may have charged it.
STALE_WINDOW_S = 3.0

_CHUNK_BYTES = 65_536

#: URLs whose way is kept; a worker has one per API kind and model.
_WAYS_KEPT = 256


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A server's reply as it stands, the token blotted out wherever the server echoed it."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """A pool of connections, safe for many threads. `token` goes to the host of `call`'s URL, no further."""

    def __init__(self, *, token: str | None = None, pool_size: int = 16) -> None:
        self._token = token or None
        #: Takes the token out of whatever a server sent, or of what was put together from it.
        self.scrubber = Scrubber(self._token)
        self._watchdog = Watchdog()
        self._session = _session(self._token, pool_size)
        self._ways: dict[tuple[str, str, bool], _Way] = {}

    def __repr__(self) -> str:
        return f"Transport(token={'***' if self._token else None})"

    def call(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
        name: str | None = None,
    ) -> Reply:
        """One HTTP call, whatever its status. Redirects are not followed; `anonymous` leaves the token out.

        `name` is what `cut` ends it by.

        A pooled connection that the server had closed meanwhile costs nothing: the call goes out once more,
        on a new one, within the same deadline.

        Raises HFTimeoutError, HFUnreachableError, HFConnectionError, HFBadAnswerError (too long).
        """
        call = Call(timeout_s, name)
        error: HFAPIError
        with self._watchdog.watching(call), carrying(call):
            for _ in range(2):
                try:
                    return self._exchange(self._way(method, url, anonymous=anonymous), body, headers or {}, call)
                except _FOREIGN as trouble:
                    if _was_stale(call):
                        call.fresh, call.connected, call.reused = True, False, False
                        continue
                    error = _translated(trouble, call, timeout_s, url)
                    break
        raise error

    def cut(self, name: str) -> bool:
        """End the call of this name, from any thread: it raises HFTimeoutError. False if there is none."""
        return self._watchdog.cut(name)

    def close(self) -> None:
        self._session.close()

    def _way(self, method: str, url: str, *, anonymous: bool) -> "_Way":
        """How this request goes out, worked out the first time it does. Two threads may do so at once: no harm."""
        key = method, url, anonymous
        way = self._ways.get(key)
        if way is None:
            if len(self._ways) >= _WAYS_KEPT:
                self._ways.clear()
            way = self._ways[key] = _prepared(self._session, method, url, anonymous=anonymous)
        return way

    def _exchange(self, way: "_Way", body: Body | None, headers: Mapping[str, str], call: Call) -> Reply:
        timeout = (call.remaining_s(), call.remaining_s())
        with way.adapter.send(way.request(body, headers), timeout=timeout, **way.options) as response:
            read = _read(response, call)
        if call.overdue and response.status_code < 300:  # cut, a reply without a length looks whole
            raise TimeoutError
        return self._scrubbed(response, read)

    def _scrubbed(self, response: requests.Response, body: bytes) -> Reply:
        # Names are made small afterwards: of a token in small letters nobody would know it.
        headers = {
            self.scrubber.text(name).lower(): self.scrubber.text(value) for name, value in response.headers.items()
        }
        return Reply(status=response.status_code, headers=headers, body=self.scrubber.body(body))


class _Bearer(AuthBase):
    """Sets the token itself: left to itself, requests lets a `.netrc` entry replace it."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How the calls to one URL go out: what `requests.Session.request` works out anew for each.

    Proxies and certificates of the environment are looked up once: that alone takes longer than to send a call.
    Redirects are not followed, cookies not kept, hooks not called: an adapter does none of these by itself.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    adapter: WatchedAdapter
    #: `stream`, `verify`, `cert` and `proxies` of the adapter's `send`.
    options: Mapping[str, Any]

    def request(self, body: Body | None, headers: Mapping[str, str]) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.method, request.url = self.method, self.url
        request.headers = CaseInsensitiveDict({**self.headers, **headers})
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
            request.body = body  # type: ignore[assignment]  # sent piece by piece, as its length allows
        return request


def _prepared(session: requests.Session, method: str, url: str, *, anonymous: bool) -> _Way:
    """Raises requests' errors and ValueError: an URL that can't be."""
    auth = _Bearer(None) if anonymous else session.auth
    request = session.prepare_request(requests.Request(method, url, auth=auth))
    address = request.url or url
    options: dict[str, Any] = dict(session.merge_environment_settings(address, {}, True, None, None))
    check_proxy(address, options["proxies"])
    adapter = session.get_adapter(address)
    if not isinstance(adapter, WatchedAdapter):
        raise AssertionError(f"no adapter of ours for {address}")
    headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
    return _Way(method=request.method or method, url=address, headers=headers, adapter=adapter, options=options)


def _session(token: str | None, pool_size: int) -> requests.Session:
    session = requests.Session()
    session.auth = _Bearer(token)
    session.headers.update({"User-Agent": _user_agent(), "Accept-Encoding": "gzip, deflate"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, WatchedAdapter(pool_size))
    return session


def _user_agent() -> str:
    try:
        return f"chartq/{version('chartq')}"
    except PackageNotFoundError:
        return "chartq"


def _read(response: requests.Response, call: Call) -> bytes:
    """The decoded body, bounded. What there is of an error's body is enough: its status is known already."""
    is_error = response.status_code >= 300
    limit = MAX_ERROR_BODY_BYTES if is_error else MAX_BODY_BYTES
    body = bytearray()
    try:
        while len(body) <= limit and (chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True)):
            body += chunk
    except _FOREIGN:
        if not is_error:
            raise
    if len(body) > limit:
        call.too_long = not is_error
        response.close()
        if not is_error:
            raise OSError("the reply is too long")
    return bytes(body[:limit])


#: What requests, urllib3, http.client, ssl and the socket raise; ValueError: URLs and headers that can't be.
_FOREIGN = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


def _was_stale(call: Call) -> bool:
    is_early = time.monotonic() - call.started < STALE_WINDOW_S
    return call.reused and not call.fresh and call.received == 0 and is_early and not call.is_over


def _translated(trouble: Exception, call: Call, timeout_s: float, url: str) -> HFAPIError:
    host = _host(url)
    why = _why(trouble)
    if call.too_long:
        return HFBadAnswerError(f"The reply of {host} is longer than {MAX_BODY_BYTES:,} bytes")
    if isinstance(trouble, requests.exceptions.ProxyError | requests.exceptions.InvalidProxyURL):
        return HFUnreachableError(f"The proxy doesn't let us through to {host}: {why} (check HTTPS_PROXY)")
    if not call.connected:
        return HFUnreachableError(f"Can't reach {host}: {why} (check the network and HF_BASE_URL)")
    if call.is_over or _is_timeout(trouble):
        return HFTimeoutError(f"No whole answer from {host} within {timeout_s:g} s")
    if isinstance(trouble, requests.exceptions.SSLError):
        return HFConnectionError(f"No secure connection (TLS) to {host}: {why}")
    return HFConnectionError(f"The connection to {host} broke: {why}")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or "the server"
    except ValueError:
        return "the server"


def _why(trouble: BaseException) -> str:
    """The innermost reason in the system's words. Not `str(trouble)`: URLs in it may hold passwords."""
    root = _chain(trouble)[-1]
    if isinstance(root, ssl.SSLCertVerificationError):
        return root.verify_message
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return _PLAIN_WORDS.get(type(root).__name__, type(root).__name__)


_PLAIN_WORDS = {
    "RemoteDisconnected": "it was closed without a reply",
    "IncompleteRead": "the reply was cut short",
    "TimeoutError": "it took too long",
    "ValueError": "the reply's chunks are broken or cut short",
    "InvalidHeader": "the reply's headers contradict each other",
    "UnknownProtocol": "the reply is not HTTP/1",
    "BadStatusLine": "the reply is not HTTP",
    "LineTooLong": "the reply is not HTTP",
    "ConnectionResetError": "it was reset",
    "InvalidProxyURL": "its address has no host, or no port that can be",
    "error": "the reply's compression is broken",
}


def _is_timeout(trouble: BaseException) -> bool:
    return any(isinstance(link, TimeoutError | requests.Timeout) for link in _chain(trouble))


def _chain(trouble: BaseException) -> list[BaseException]:
    """An exception and what it came from, outermost first: causes, contexts, reasons and arguments."""
    links: list[BaseException] = []
    link: BaseException | None = trouble
    while link is not None and link not in links:
        links.append(link)
        inner = [getattr(link, "reason", None), *link.args, link.__cause__, link.__context__]
        link = next((other for other in inner if isinstance(other, BaseException)), None)
    return links
