"""The stand-in's HTTP side: a thread per connection, HTTP/1.1 with keep-alive, on 127.0.0.1 unless told otherwise."""

import os
import socket
import socketserver
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event
from typing import Any
from urllib.parse import unquote, urlsplit

from worker.rehearsal.reply import Reply
from worker.rehearsal.request_parser import NotUnderstoodError, read_request
from worker.rehearsal.state import Part, ServerState

#: Connections that the kernel may hold until a thread takes them: bursts of hundreds must not be refused.
_BACKLOG = 512
#: How long hang_up() waits for the threads. They are woken, so this is never used up.
_HANG_UP_S = 5.0
#: A drip: so many bytes, and seconds until the next.
_DRIP_BYTES, _DRIP_S = 4, 0.1
_KEPT_HEADERS = ("user-agent", "content-type", "x-hf-bill-to", "x-amzn-trace-id", "accept", "connection")


class HttpServer(ThreadingHTTPServer):
    """Accepts, and knows its open connections so that it can end them."""

    request_queue_size = _BACKLOG
    daemon_threads = True

    def __init__(self, state: ServerState, port: int, host: str) -> None:
        self.state = state
        #: Set when the server stops: ends every wait.
        self.closing = Event()
        self._open: set[socket.socket] = set()
        self._changed = Condition()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def hang_up(self) -> None:
        """End all connections and wait until their threads have let go of them."""
        self.closing.set()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):  # its client was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _HANG_UP_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gave up is its own affair; anything else is our mistake and goes to stderr.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def do_GET(self) -> None:
        self._send(self.server.state.look_up(self._path(), self._token()))

    def do_POST(self) -> None:
        state, path = self.server.state, self._path()
        headers = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked = read_request(path, body, self._token())
        except NotUnderstoodError as error:
            self.close_connection = True  # a body of unknown length would be read as the next request
            self._send(state.turn_away(path, headers, error))
            return
        part = state.enter(path, asked, headers)
        try:
            reply = self._think(part)
        finally:
            # Before anything is sent: a client that has its answer must find the place free.
            state.leave(part)
        self._reply(part, reply)

    def _think(self, part: Part) -> Reply:
        """The reply, once it is time for it."""
        reply, closing = part.reply(), self.server.closing
        if part.decision.fault == "hang":
            closing.wait()
        elif reply.status == 200 and part.behaviour.latency_s > 0:
            closing.wait(part.behaviour.latency_s / self.server.state.clock.speed)
        return reply

    def _reply(self, part: Part, reply: Reply) -> None:
        fault = part.decision.fault
        if self.server.closing.is_set() or fault == "drop":
            self.close_connection = True
        elif fault == "drop-midway":
            self.wfile.write(self._head(reply) + reply.body[: len(reply.body) // 2])
            self.close_connection = True
        else:
            # Noted before it is sent: a client that has its answer must find it in the record.
            part.call.status, part.call.ended_at = reply.status, time.time()
            try:
                self._send(reply, drips=fault == "drip")
            except ConnectionError:
                if self.server.closing.is_set():  # cut off by ourselves: the client has nothing
                    part.call.status = None
                raise

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _token(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def _send(self, reply: Reply, *, drips: bool = False) -> None:
        """In one packet where it fits: head and body apart would wait for the client's acknowledgement."""
        head = self._head(reply)
        if not drips:
            self.wfile.write(head + reply.body)
            return
        self.wfile.write(head)
        for start in range(0, len(reply.body), _DRIP_BYTES):
            if self.server.closing.wait(_DRIP_S):
                raise ConnectionAbortedError("the server stops")
            self.wfile.write(reply.body[start : start + _DRIP_BYTES])

    def _head(self, reply: Reply) -> bytes:
        # The live service appends the client's own id to the one it makes up.
        trace = self.headers.get("X-Amzn-Trace-Id")
        extra = {"x-request-id": f"Root=1-{os.urandom(8).hex()}" + (f";{trace}" if trace else "")}
        if self.close_connection:
            extra["Connection"] = "close"
        return reply.head(extra)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the record tells more."""
