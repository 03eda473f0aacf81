"""A provider that costs next to nothing: every POST is answered after the same time. `python -m benchmarks.provider`.

The rehearsal server reads pictures and has a thread per call; here 2,000 calls of 137 kB must not be the bottleneck
of what is measured. It keeps the time of each arrival and answer (`time.monotonic()`, one clock for all processes).
"""

import asyncio
import json
import sys
import time
from array import array

_ANSWER = {
    "id": "bench",
    "object": "chat.completion",
    "model": "bench",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Up."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 700, "completion_tokens": 2, "total_tokens": 702},
}


def _reply(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_POST_REPLY = _reply(json.dumps(_ANSWER).encode())
_BUFFER = memoryview(bytearray(1 << 20))  # one for all: it is read before anybody else gets it


class Provider:
    """What was asked so far."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.arrived, self.answered = array("d"), array("d")

    def look_up(self, path: str) -> bytes:
        """`/counts`, or `/times` with every arrival and answer."""
        if path == "/times":
            return json.dumps({"arrived": list(self.arrived), "answered": list(self.answered)}).encode()
        return json.dumps({"arrived": len(self.arrived), "answered": len(self.answered)}).encode()


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 with keep-alive, as far as our clients use it: a length, no pipelining."""

    transport: asyncio.Transport

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._head, self._missing = b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, count: int) -> None:
        if self._missing < 0:
            self._head += _BUFFER[:count].tobytes()
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = head
            self._missing, count = _length(head), len(rest)
        self._missing -= count
        if self._missing <= 0:
            self._answer(self._head)
            self._head, self._missing = b"", -1

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"GET"):
            self.transport.write(_reply(self._provider.look_up(head.split(b" ", 2)[1].decode())))
            return
        self._provider.arrived.append(time.monotonic())
        asyncio.get_running_loop().call_later(self._provider.latency_s, self._send)

    def _send(self) -> None:
        self._provider.answered.append(time.monotonic())
        self.transport.write(_POST_REPLY)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(latency_s: float) -> None:
    """Say the port on stdout, then serve until killed."""
    provider = Provider(latency_s)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(provider), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
