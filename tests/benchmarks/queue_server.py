"""One Valkey for each system under test, with the options of chartq's embedded one; and what it was asked."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from support.ports import free_port

from benchmarks.programs import started
from jobs.broker.server_binary import find_server_program

_OPTIONS = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction")

#: A line of MONITOR: time, [database and client, or "lua"], command.
_FROM_A_SCRIPT = re.compile(rb"\+[\d.]+ \[\d+ lua\]")


@dataclass(frozen=True)
class ParsedRequest:
    """What the server has done so far."""

    #: Times that it read from a client: a request and its answer, or a pipeline and its answers.
    reads: int
    cpu_s: float
    used_bytes: int


class QueueServer:
    """A server on 127.0.0.1, its data in a folder that goes away."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"redis://127.0.0.1:{port}/0"
        retry = Retry(ConstantBackoff(0.02), 200)
        self.client = Redis(port=port, retry=retry, retry_on_error=[RedisConnectionError])

    def asked(self) -> ParsedRequest:
        info: dict[str, Any] = self.client.info("everything")
        return ParsedRequest(
            reads=info["total_reads_processed"],
            cpu_s=info["used_cpu_sys"] + info["used_cpu_user"],
            used_bytes=info["used_memory"],
        )


@contextmanager
def queue_server(folder: Path) -> Iterator[QueueServer]:
    data = folder / "valkey"
    data.mkdir()
    server = QueueServer(free_port())
    command = [str(find_server_program()), "--port", str(server.port), "--bind", "127.0.0.1", "--dir", str(data)]
    with started([*command, *_OPTIONS], folder=folder, environment={}):
        server.client.ping()
        with closing(server.client):
            yield server


class Monitor:
    """Counts the commands that clients send; what scripts do inside the server is no command of a client."""

    def __init__(self, server: QueueServer) -> None:
        self.commands = 0
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        return self.commands

    def _listen(self) -> None:
        with self._socket, self._socket.makefile("rb", buffering=1 << 20) as lines:
            lines.readline()  # +OK
            for line in lines:
                self.commands += not _FROM_A_SCRIPT.match(line)
