"""`chartq serve` as a process, and files that one sends to it."""

from pathlib import Path

from support.http_api import png
from support.request_lines import ask, body, data_uri, request, write
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
    lines = [request(f"c-{number}", body(ask("Up?", data_uri(png(number))))) for number in range(count)]
    return write(folder / "requests.jsonl", lines)
