"""The HTTP API within the test's process, and what one sends to it."""

import asyncio
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from jobs.config.settings import Settings
from jobs.server import create_app
from jobs.server.backend import Services
from jobs.server.listening import listen, server
from support.stack import eventually


def png(shade: int = 0) -> bytes:
    """A small picture, another one for each shade."""
    out = io.BytesIO()
    Image.new("RGB", (64, 40), (shade % 256, shade // 256, 90)).save(out, "PNG")
    return out.getvalue()


@contextmanager
def client_of(settings: Settings, *, services: Services | None = None) -> Iterator[TestClient]:
    """A client of an app of its own, which is closed in the end."""
    app = create_app(settings, services=services)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def served(settings: Settings, *, services: Services | None = None) -> Iterator[str]:
    """The address of a server in this process, bounded as `serve` is."""
    app = create_app(settings, services=services)
    ours, socket = server(app, grace_s=2, leaving=app.state.backend.watcher.leave), listen("127.0.0.1", 0)
    # It takes no signals: those are the tests'.
    thread = threading.Thread(target=lambda: asyncio.run(ours._serve([socket])), daemon=True)
    thread.start()
    eventually(lambda: ours.started)
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    finally:
        ours.leave()
        thread.join(60)


def error_of(response: Any) -> dict[str, Any]:
    """The error of an answer, which has OpenAI's shape and no other."""
    document = response.json()
    assert set(document) == {"error"}, document
    error: dict[str, Any] = document["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error
