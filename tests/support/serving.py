"""`chartq serve` as a process, and files that one sends to it."""

import base64
import json
from pathlib import Path

from support.http_api import png
from support.stack import Program, Stack, eventually


def serve(user: Stack, *args: str) -> tuple[Program, str]:
    """The process, once it listens, and its address."""
    log = user.folder / f"serve-{len(user.processes)}.log"
    process = user.launch("-m", "worker.main", "serve", "--port", "0", *args, log=log)
    eventually(lambda: "serves at" in process.said or process.poll() is not None)
    assert process.poll() is None, process.said
    url = process.said.split("serves at ")[1].split()[0].rstrip(",")
    return process, url


def requests_file(folder: Path, count: int) -> Path:
    """OpenAI's batch lines, each with a picture of its own."""
    path = folder / "requests.jsonl"
    with path.open("w") as file:
        for number in range(count):
            url = f"data:image/png;base64,{base64.b64encode(png(number)).decode()}"
            content = [{"type": "text", "text": "Up?"}, {"type": "image_url", "image_url": {"url": url}}]
            body = {"model": "org/model", "messages": [{"role": "user", "content": content}]}
            line = {"custom_id": f"c-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path
