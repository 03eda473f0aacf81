"""What `serve` adds and takes: `PYTHONPATH=tests python -m benchmarks.over_http [latency] [polls] [upload]`."""

import http.client
import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
from support.http_api import png
from support.serving import serve
from support.stack import Stack, draw_charts, eventually, stack

from benchmarks.large_ledger import fill
from jobs.ledger import Ledger

_LATENCY_S = 0.5
_BOUNDARY = b"----chartq"


def main() -> None:
    wanted = sys.argv[1:] or ["latency", "polls", "upload"]
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="chartq-http-") as folder, provider(Path(folder)) as user:
            {"latency": latency, "polls": polls, "upload": upload}[name](user)


@contextmanager
def provider(folder: Path) -> Iterator[Stack]:
    """A home, and a stand-in that answers after `_LATENCY_S`, in a process of its own."""
    with stack(folder, VISION_MODEL="org/model", RETRY_DELAY="0.1") as user:
        process = user.launch("-m", "worker.rehearsal", "--latency", str(_LATENCY_S), "--no-look")
        assert process.stdout is not None
        user.environment["HF_BASE_URL"] = process.stdout.readline().strip()
        yield user


class Caller:
    """A connection that is kept, for each thread its own."""

    def __init__(self, url: str) -> None:
        self._host, self._local = urlsplit(url).netloc, threading.local()

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, float]:
        """Status, body and seconds."""
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._host, timeout=120)
        began = time.perf_counter()
        self._local.connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self._local.connection.getresponse()
        said = answer.read()
        return answer.status, said, time.perf_counter() - began

    def analyze(self, shade: int) -> tuple[int, bytes, float]:
        head = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        form = b"--" + _BOUNDARY + b"\r\n" + head + png(shade) + b"\r\n--" + _BOUNDARY + b"--\r\n"
        return self("POST", "/analyze", form, Content_Type=f"multipart/form-data; boundary={_BOUNDARY.decode()}")


def latency(user: Stack) -> None:
    """What `/analyze` adds beside the provider's time, and that fifty alike are one call."""
    process, url = serve(user, "--work", "--concurrency", "64")
    print(f"idle memory of serve with a worker: {memory_mb(process.pid, 'VmRSS'):.0f} MB")
    call = Caller(url)
    call.analyze(60_000)
    for number, at_once in enumerate((1, 50)):
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(call.analyze, range(number * 200, number * 200 + 200)))
        assert all(status == 200 for status, _, _ in answers), {status for status, _, _ in answers}
        added = [(took - _LATENCY_S) * 1000 for _, _, took in answers]
        print(f"added by /analyze, 200 calls, {at_once} at a time: {shown(added)}")
    before = provider_calls(user)
    with ThreadPoolExecutor(50) as pool:
        alike = list(pool.map(call.analyze, [9999] * 50))
    assert {status for status, _, _ in alike} == {200}
    print(f"50 alike at once: {provider_calls(user) - before} call, {shown([took * 1000 for _, _, took in alike])}")


def polls(user: Stack) -> None:
    """A thousand looks a second at one batch of 100,000 rows, and what a worker beside it notices."""
    draw_charts(user.folder / "charts", 400)
    user.run("list")
    with closing(Ledger.open(user.results_url)) as ledger:
        batch_id = fill(ledger, 100_000).batch_id
    process, url = serve(user, "--no-work")
    print(f"idle memory of serve: {memory_mb(process.pid, 'VmRSS'):.0f} MB")
    call = Caller(url)
    quiet_s = worked_s(user, "Alone?")
    stopped = threading.Event()
    took: list[float] = []
    threads = [threading.Thread(target=poll, args=(call, batch_id, stopped, took)) for _ in range(20)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    busy_s = worked_s(user, "Beside polls?")
    stopped.set()
    for thread in threads:
        thread.join()
    rate = len(took) / (time.perf_counter() - began)
    print(f"polls of 100,000 rows: {rate:.0f} a second, {shown([one * 1000 for one in took])}")
    print(f"400 charts took a worker {quiet_s:.1f} s without polls, {busy_s:.1f} s beside them")
    print(f"memory of serve afterwards: {memory_mb(process.pid, 'VmRSS'):.0f} MB")


def poll(call: Caller, batch_id: str, stopped: threading.Event, took: list[float]) -> None:
    """Fifty a second, never faster."""
    due = time.perf_counter()
    while not stopped.is_set():
        status, _, seconds = call("GET", f"/batches/{batch_id}")
        assert status == 200
        took.append(seconds)
        due = max(due + 0.02, time.perf_counter() - 1)
        time.sleep(max(0.0, due - time.perf_counter()))


def worked_s(user: Stack, prompt: str) -> float:
    batch_id = user.submit("charts", prompt=prompt)
    began = time.perf_counter()
    worker = user.worker("--concurrency", "16")
    eventually(lambda: user.counts(batch_id).finished == 400, timeout_s=300)
    seconds = time.perf_counter() - began
    worker.terminate()
    worker.wait(60)
    return seconds


def upload(user: Stack) -> None:
    """A file of just below 200 MB."""
    process, url = serve(user, "--no-work")
    path = user.folder / "requests.jsonl"
    padding = "x" * 4_700
    with path.open("w") as file:
        for number in range(40_000):
            body = {"model": "org/model", "messages": [{"role": "user", "content": f"{number} {padding}"}]}
            line = {"custom_id": f"c-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    before = memory_mb(process.pid, "VmHWM")
    with path.open("rb") as file:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        began = time.perf_counter()
        sent = client.files.create(file=file, purpose="batch")
    print(
        f"upload of {path.stat().st_size / 1e6:.0f} MB: {time.perf_counter() - began:.1f} s, peak memory {before:.0f}"
        f" -> {memory_mb(process.pid, 'VmHWM'):.0f} MB"
    )
    batch = client.batches.create(input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h")
    eventually(lambda: client.batches.retrieve(batch.id).status != "validating", timeout_s=300, every_s=0.5)
    print(
        f"its batch is {client.batches.retrieve(batch.id).status} after {time.perf_counter() - began:.1f} s,"
        f" peak memory {memory_mb(process.pid, 'VmHWM'):.0f} MB"
    )


def provider_calls(user: Stack) -> int:
    base = user.environment["HF_BASE_URL"].removesuffix("/v1")
    record: dict[str, Any] = json.loads(Caller(base)("GET", "/rehearsal/record")[1])
    return len(record["calls"])


def memory_mb(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1000 for line in lines if line.startswith(f"{field}:"))


def shown(times_ms: list[float]) -> str:
    ordered = sorted(times_ms)
    return f"median {ordered[len(ordered) // 2]:.1f} ms, p95 {ordered[math.ceil(len(ordered) * 0.95) - 1]:.1f} ms"


if __name__ == "__main__":
    main()
