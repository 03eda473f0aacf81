"""The two tasks that every system runs: a call as people write it, and nothing at all."""

import base64
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any

import requests

_URL = os.environ.get("BENCH_URL", "")
_TICKS = os.environ.get("BENCH_TICKS", os.devnull)

_own = threading.local()
_ticks: list[int] = []


def ask(path: str) -> str:
    """One call about one picture; connections are kept, a session for each thread."""
    reply = session().post(f"{_URL}/v1/chat/completions", json=body(path), timeout=120)
    reply.raise_for_status()
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def noop(path: str) -> str:
    """A job that does nothing but say when it ran."""
    if not _ticks:
        _ticks.append(os.open(_TICKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    os.write(_ticks[0], struct.pack("d", time.monotonic()))
    return path


def body(path: str) -> dict[str, Any]:
    picture = base64.b64encode(Path(path).read_bytes()).decode()
    parts = [
        {"type": "text", "text": "Up or down?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    return {"model": "bench/model", "messages": [{"role": "user", "content": parts}], "max_tokens": 1024}


def session() -> requests.Session:
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    found: requests.Session = _own.session
    return found
