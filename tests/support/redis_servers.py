"""Redis servers of the tests' own, with whatever options, and a way to one that breaks when it is told to."""

import os
import resource
import selectors
import signal
import socket as sockets
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis
from redis.exceptions import RedisError

from jobs.broker.server_binary import find_server_program
from support.ports import free_port
from support.stack import eventually

When = Literal["before", "after"]


@dataclass(frozen=True)
class OwnRedis:
    """A server at a TCP port, and a client of it that nothing stands between."""

    process: "subprocess.Popen[bytes]"
    port: int
    client: Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def limit_files(self, size: int) -> None:
        """Files can't grow beyond this many bytes, as on a full disk; -1: they can again."""
        _, most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, most))


@contextmanager
def own_redis(*, port: int | None = None, **options: Any) -> Iterator[OwnRedis]:
    """A server with these options (`appendonly="yes"`), of which nothing stays."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="chartq-"))
        port = port or free_port()
        told = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", **options}
        words = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        process = subprocess.Popen(
            [find_server_program(), *words],
            cwd=home,
            stdout=subprocess.DEVNULL,
            restore_signals=False,  # Python ignores SIGXFSZ: a file that may not grow is an error, as on a full disk
        )
        stack.callback(_end, process)
        client = stack.enter_context(closing(Redis(port=port)))
        eventually(lambda: process.poll() is not None or _answers(client))
        assert process.poll() is None, f"port {port} is another program's"
        yield OwnRedis(process, port, client)


def _answers(client: Redis) -> bool:
    with suppress(RedisError):
        return bool(client.ping())
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.wait(60)


class BrokenWay:
    """A proxy in front of a server: cuts connections in the middle of an exchange, or lets none through.

    `before` a command was passed on: the server never heard of it. `after`: it has run, and nobody hears its reply.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = sockets.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._cuts: list[tuple[bytes, When]] = []
        self._pairs: set[tuple[sockets.socket, sockets.socket]] = set()
        self.is_blocked = False
        #: What was cut so far.
        self.done: list[tuple[str, When]] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def cut(self, operation: str, when: When, times: int = 1) -> None:
        """Cut the connection that next carries this operation of ours, or command of Redis."""
        with self._lock:
            self._cuts += [(b"\r\n%s\r\n" % operation.encode(), when)] * times

    def block(self, blocked: bool = True) -> None:
        """Cut all there is, and let no new connection get anywhere; or let them through again."""
        self.is_blocked = blocked
        if blocked:
            for pair in list(self._pairs):
                _shut(*pair)

    @property
    def is_spent(self) -> bool:
        """Whether all cuts were made."""
        with self._lock:
            return not self._cuts

    def close(self) -> None:
        self.block()
        self._listener.shutdown(sockets.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_blocked:
                client.close()
                continue
            server = sockets.create_connection(("127.0.0.1", self._to_port))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: sockets.socket, server: sockets.socket) -> None:
        pair = client, server
        self._pairs.add(pair)
        deaf = False
        with client, server, selectors.DefaultSelector() as selector, suppress(OSError):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, sockets.socket)
                    data = source.recv(1 << 20)
                    when = self._next_cut(data) if source is client else None
                    if not data or when == "before" or (deaf and source is server):
                        self._pairs.discard(pair)
                        return
                    deaf = deaf or when == "after"
                    target.sendall(data)
        self._pairs.discard(pair)

    def _next_cut(self, data: bytes) -> When | None:
        with self._lock:
            for index, (sign, when) in enumerate(self._cuts):
                if sign in data:
                    del self._cuts[index]
                    self.done.append((sign.strip().decode(), when))
                    return when
        return None


def _shut(*ends: sockets.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(sockets.SHUT_RDWR)


@contextmanager
def broken_way(to_port: int) -> Iterator[BrokenWay]:
    """A proxy to the server at `to_port`, ended afterwards."""
    with closing(BrokenWay(to_port)) as way:
        yield way
