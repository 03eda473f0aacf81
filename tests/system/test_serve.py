"""`chartq serve` as a process: it works, it leaves in order, and nobody slow keeps it."""

import json
import signal
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from support.http_api import png
from support.serving import requests_file, serve
from support.stack import PATIENCE_S, Stack, eventually

from worker.rehearsal import Rehearsal

ENVIRONMENT = {"VISION_MODEL": "org/model", "RETRY_DELAY": "0.1"}


def post_picture(url: str, name: str = "files", *, shade: int = 0, **texts: str) -> tuple[int, Any]:
    """The status and document that a form with a picture of this name, and these texts, is answered with."""
    parts = [f'name="{text}"\r\n\r\n{value}'.encode() for text, value in texts.items()]
    parts.append(f'name="{name}"; filename="a.png"\r\n\r\n'.encode() + png(shade))
    form = b"".join(b"--x\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--x--\r\n"
    request = urllib.request.Request(url, form, {"Content-Type": "multipart/form-data; boundary=x"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.status, json.load(answer)


def batch_of_a_picture(url: str) -> str:
    _, document = post_picture(f"{url}/batches", prompt="Up?")
    return str(document["batch_id"])


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def test_it_works_on_what_is_uploaded_and_leaves_in_order(user: Stack) -> None:
    process, url = serve(user)
    batch_id = batch_of_a_picture(url)
    eventually(lambda: get(f"{url}/batches/{batch_id}")["status"] == "completed")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0, process.said
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/health")
    assert user.status(batch_id)["status"] == "completed"


def test_without_work_it_leaves_that_to_others(user: Stack) -> None:
    _, url = serve(user, "--no-work")
    batch_id = batch_of_a_picture(url)
    user.run("worker", "--burst")
    assert get(f"{url}/batches/{batch_id}")["status"] == "completed"


def test_calls_that_run_when_it_is_told_to_leave_end_within_the_grace(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=4)  # it is still running when we have seen it, and told the server to leave
    process, url = serve(user)
    batch_id = batch_of_a_picture(url)
    eventually(lambda: get(f"{url}/batches/{batch_id}")["request_counts"]["started"] == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0, process.said
    assert user.status(batch_id)["status"] == "completed"


def test_killed_and_started_again_nothing_is_lost(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    process, url = serve(user)
    batch_id = batch_of_a_picture(url)
    process.kill()
    process.wait(PATIENCE_S)
    _, url = serve(user)
    eventually(lambda: get(f"{url}/batches/{batch_id}")["status"] == "completed")


def test_beyond_this_machine_it_listens_with_a_key_only(user: Stack) -> None:
    done = user.run("serve", "--host", "0.0.0.0", "--port", "0", expect=2)
    assert "chartq keys create" in done.stderr


def test_a_port_that_is_taken_is_told_in_a_sentence(user: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = user.run("serve", "--port", str(taken.getsockname()[1]), expect=1)
    assert "can't be listened at: Address already in use" in done.stderr
    assert (
        "nn:0 can't be listened at"
        in user.run("serve", "--require-key", "--host", "n" * 100, "--port", "0", expect=1).stderr
    )


def test_a_head_that_never_ends_is_not_waited_for(user: Stack) -> None:
    _, url = serve(user, "--no-work")
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as silent, socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        for connection in (silent, slow):
            connection.settimeout(PATIENCE_S)
            assert connection.recv(1000) == b""
    with socket.create_connection((host, int(port))) as greedy:
        greedy.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):  # refused before we had sent it all
            greedy.sendall(b"GET /health HTTP/1.1\r\nx-much: " + b"x" * 1_000_000)
            assert greedy.recv(100).startswith(b"HTTP/1.1 4")
    assert get(f"{url}/health") == {"status": "ok"}


def test_who_waits_gets_the_answer_when_it_leaves_or_is_told_where_it_will_be(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=5)  # the first is still running when we have seen both, and told the server to leave
    process, url = serve(user, "--concurrency", "1")
    with ThreadPoolExecutor(2) as crowd:
        asked = [crowd.submit(post_picture, f"{url}/analyze", "file", shade=shade) for shade in (1, 2)]
        eventually(lambda: [lane["in_flight"] for lane in get(f"{url}/lanes")["data"]] == [1])
        eventually(lambda: get(f"{url}/batches")["data"][0]["request_counts"]["total"] == 2)
        process.send_signal(signal.SIGTERM)
        answers = sorted((one.result(PATIENCE_S) for one in asked), key=lambda answer: answer[0])
    assert [status for status, _ in answers] == [200, 202], process.said
    assert process.wait(PATIENCE_S) == 0, process.said
    assert user.status(answers[1][1]["job_id"])["status"] == "queued"


def openai_batch(client: openai.OpenAI, path: Path) -> str:
    file = client.files.create(file=path, purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    return made.id


def custom_ids(client: openai.OpenAI, file_id: str | None) -> list[str]:
    assert file_id is not None
    return [json.loads(line)["custom_id"] for line in client.files.content(file_id).text.splitlines()]


def test_openais_batch_survives_a_kill_of_server_and_worker_and_asks_each_request_once(
    user: Stack, server: Rehearsal
) -> None:
    server.behave(latency_s=0.3)
    total, in_flight = 400, 8 + 8
    process, url = serve(user, "--concurrency", "8")
    worker = user.worker("--concurrency", "8")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    batch_id = openai_batch(client, requests_file(user.folder, total))
    eventually(lambda: client.batches.retrieve(batch_id).request_counts.completed > 60)  # type: ignore[union-attr]
    for one in (process, worker):
        one.kill()
        one.wait(PATIENCE_S)
    server.behave(latency_s=0.05)
    _, url = serve(user, "--concurrency", "32")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    eventually(lambda: client.batches.retrieve(batch_id).status == "completed", timeout_s=2 * PATIENCE_S)
    done = client.batches.retrieve(batch_id)
    assert sorted(custom_ids(client, done.output_file_id)) == sorted(f"c-{number}" for number in range(total))
    assert len(server.record) <= total + in_flight


def test_killed_while_it_validates_the_next_one_goes_on(user: Stack) -> None:
    process, url = serve(user)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    batch_id = openai_batch(client, requests_file(user.folder, 1500))
    process.kill()
    process.wait(PATIENCE_S)
    _, url = serve(user, "--no-work")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    # It waits until the one that was killed is no longer waited for.
    eventually(lambda: client.batches.retrieve(batch_id).status == "in_progress", timeout_s=2 * PATIENCE_S)
    assert client.batches.retrieve(batch_id).request_counts.total == 1500  # type: ignore[union-attr]


def test_told_to_require_a_key_it_starts_without_one_and_lets_nobody_in_until_it_is_made(user: Stack) -> None:
    _, url = serve(user, "--host", "0.0.0.0", "--require-key", "--no-work")
    assert get(f"{url}/health") == {"status": "ok"}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{url}/batches")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=user.run("keys", "create", "ann").stdout.strip())
    assert client.batches.list().data == []


def test_with_a_key_it_listens_anywhere_and_answers_nobody_without(user: Stack) -> None:
    key = user.run("keys", "create", "ann").stdout.strip()
    _, url = serve(user, "--host", "0.0.0.0", "--no-work")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{url}/batches")
    assert get(f"{url}/health") == {"status": "ok"}
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
    assert client.batches.list().data == []
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()


@pytest.mark.parametrize("path", ["/analyze", "/batches", "/v1/files", "/v1/chat/completions"])
def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(user: Stack, path: str) -> None:
    process, url = serve(user)
    host, port = url.removeprefix("http://").split(":")
    kind = "application/json" if "chat" in path else "multipart/form-data; boundary=x"
    body = '{"model": "org/m' if "chat" in path else '--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nU'
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 5000\r\n\r\n"
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
            client.sendall((head + body).encode())
    batch_id = batch_of_a_picture(url)
    eventually(lambda: get(f"{url}/batches/{batch_id}")["status"] == "completed")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in process.said
    assert " 500" not in process.said
