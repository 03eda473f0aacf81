"""The HTTP API within the test's process, and what one sends to it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from jobs.config.settings import Settings
from jobs.server import create_app
from jobs.server.backend import Services


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


def error_of(response: Any) -> dict[str, Any]:
    """The error of an answer, which has OpenAI's shape and no other."""
    document = response.json()
    assert set(document) == {"error"}, document
    error: dict[str, Any] = document["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error
