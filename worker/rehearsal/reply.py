"""A reply on its way out: status, headers, body, and how it is brought onto the wire."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import responses
from typing import Any

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
HTML = "text/html"


@dataclass(frozen=True)
class Reply:
    """What to send."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, extra: Mapping[str, str]) -> bytes:
        """The status line and all headers, so that head and body can leave in one packet."""
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "x-chartq-rehearsal": "1",
            "x-inference-provider": "rehearsal",
            **self.headers,
            **extra,
        }
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), JSON, headers or {})


def error_reply(status: int, message: str, code: str) -> Reply:
    """As OpenAI's API says what is wrong with the model that was asked."""
    error = {"message": message, "type": "invalid_request_error", "param": "model", "code": code}
    return json_reply({"error": error}, status)
