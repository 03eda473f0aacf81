"""The connections under requests: they report to the call they carry, and read no more than they should."""

import contextlib
import io
import socket
import threading
from collections.abc import Iterator, MutableMapping
from http import HTTPStatus
from http.client import HTTPResponse as PlainResponse
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.hf.deadline import Call, Guard

#: Most bytes of one reply, headers included, that are taken from the wire; a chat answer has a few kB.
MAX_WIRE_BYTES = 9_000_000

#: Seconds for a TCP connection to one of the server's addresses, before its next one is tried.
CONNECT_TIMEOUT_S = 10.0

#: Of a reply, read ahead: most answers are no longer, and every call in flight has such a buffer while it waits.
_BUFFER_BYTES = 2048

_current = threading.local()


@contextlib.contextmanager
def carrying(call: Call) -> Iterator[None]:
    """Tells this thread's connections, which requests gives no way to speak to, whose call they carry."""
    _current.call = call
    try:
        yield
    finally:
        _current.call = None


def _call() -> Call:
    call: Call | None = getattr(_current, "call", None)
    if call is None:
        raise RuntimeError("a connection was used outside of a call")
    return call


class _CountingReader(io.RawIOBase):
    """The reading end of a socket, with a bound that no HTTP parser's generosity can lift.

    (`http.client` takes a chunk of size -1 for "all there is"; urllib3 reads chunk headers of any length.)
    """

    def __init__(self, raw: io.RawIOBase, call: Call) -> None:
        self._raw, self._call = raw, call

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        self._call.received += count or 0
        if self._call.received > MAX_WIRE_BYTES:
            self._call.too_long = True
            raise OSError("the reply is too long")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(PlainResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_CountingReader(raw, _call()), _BUFFER_BYTES)

    def _read_status(self) -> tuple[str, int, str]:
        """Interim replies (102 Processing, 103 Early Hints) are passed over, as http.client does with 100 alone."""
        version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed has its public names only
        return version, (HTTPStatus.CONTINUE if 102 <= status <= 199 else status), reason


class _Watched(HTTPConnection):
    """A connection that its call's deadline can cut, and that isn't used again after an error."""

    response_class = _BoundedResponse
    guard: Guard | None = None
    spoiled = False

    def _new_conn(self) -> socket.socket:
        call = _call()
        sock = _connect(self._dns_host, self.port, self.socket_options or [], call)
        self.guard, self.spoiled = Guard(sock), False
        call.attach(self.guard, reused=False)
        return sock

    def getresponse(self) -> Any:
        if self.sock is None:  # urllib3 let a reset while sending pass, to read an answer that can't come
            raise ConnectionResetError("the connection was reset")
        response = super().getresponse()
        # After an error some servers close without saying so, or send a late second reply.
        self.spoiled = response.status >= 300
        return response

    def close(self) -> None:
        if self.guard is not None:
            self.guard.release()
            self.guard = None
        super().close()


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _ReportingPool(HTTPConnectionPool):
    ConnectionCls = _Watched

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        call = _call()
        if call.fresh:
            conn.close()
        elif conn.sock is not None and conn.guard is not None:
            conn.sock.settimeout(call.remaining_s())
            call.attach(conn.guard, reused=True)
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.spoiled:
            conn.close()
        if conn is not None and self.pool is not None and self.pool.full():
            conn.close()  # urllib3 would do it with a warning per call
            return
        super()._put_conn(conn)


class _ReportingTLSPool(_ReportingPool, HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class WatchedAdapter(HTTPAdapter):
    """requests' adapter with the connections above, for direct and for proxied calls. Retries nothing."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _report(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        _report(manager)
        return manager


def check_proxy(url: str, proxies: MutableMapping[str, str] | None) -> None:
    """Raise InvalidProxyURL if the proxy for this URL can be none: of some addresses requests makes a TypeError."""
    proxy: str | None = select_proxy(url, proxies)
    try:
        parts = None if proxy is None else urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_usable = parts is None or (bool(parts.hostname) and parts.port != 0)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise InvalidProxyURL


def _report(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _ReportingPool, "https": _ReportingTLSPool}


def _connect(host: str, port: int, options: Any, call: Call) -> socket.socket:
    """A TCP connection to the first of the host's addresses that takes it.

    The look-up of the name is bounded by the system's resolver (5-30 s), which no thread can interrupt.
    """
    error: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if call.is_over:
            raise TimeoutError("connecting took too long")
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(min(call.remaining_s(), CONNECT_TIMEOUT_S))
            sock.connect(address)
        except OSError as refused:
            error = refused
            sock.close()
        else:
            sock.settimeout(call.remaining_s())
            return sock
    raise error
