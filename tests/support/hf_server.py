"""Servers for the client's tests: real sockets on 127.0.0.1, scripted replies, no patching."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JPEG = b"\xff\xd8\xff\xe0 not much of a picture"
PNG = b"\x89PNG\r\n\x1a\n not much of a picture"


@dataclass(frozen=True)
class Scripted:
    """One reply."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Seen:
    """One request, as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def chat_reply(content: Any = "An uptrend.", **extra: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-1",
        "model": "org/model",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 448, "completion_tokens": 12, "total_tokens": 460},
        **extra,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Of the library's five a hundred callers at once would find some refused.
    request_queue_size = 256


class ScriptedServer:
    """Answers calls with its replies in turn, the last one for ever; remembers what it saw."""

    def __init__(self, *replies: Scripted) -> None:
        self.replies = list(replies)
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = server.next_reply(
                    Seen(self.command, self.path, dict(self.headers), body, self.client_address[1])
                )
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.data)))
                self.end_headers()
                self.wfile.write(reply.data)

            do_GET = do_POST = handle_any

            def log_message(self, *args: Any) -> None:
                pass

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def next_reply(self, seen: Seen) -> Scripted:
        with self._lock:
            self.seen.append(seen)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def __enter__(self) -> "ScriptedServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


@contextlib.contextmanager
def raw_server(converse: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """A server that does with its nth connection whatever `converse` does; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    connections: list[socket.socket] = []

    def speak(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection:
            converse(connection, number)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                number = len(connections)
                threading.Thread(target=speak, args=(connection, number), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def read_request(connection: socket.socket) -> bytes:
    """One whole request, b"" at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (part := connection.recv(65_536))
        if not part:
            return b""
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += (part := connection.recv(65_536))
        if not part:
            return b""
    return head + b"\r\n\r\n" + body


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
