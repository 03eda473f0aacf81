"""What servers do to a call, on real sockets: it ends in time, in bounds, with a typed error."""

import base64
import gzip
import select
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hf_server import Scripted, ScriptedServer, ok, raw_server, read_request
from support.stack import PATIENCE_S

from worker.hf import errors
from worker.hf.request_body import Body, ImageToSend
from worker.hf.transport import MAX_BODY_BYTES, Reply, Transport

TOKEN = "hf_SecretSecret"
EMPTY = Body([b"{}"])
HELLO = ok(b'{"hello": 1}')


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    transport = Transport(token=TOKEN)
    yield transport
    transport.close()


def post(transport: Transport, url: str, *, timeout_s: float = 5.0, body: Body = EMPTY) -> Reply:
    return transport.call("POST", f"{url}/chat/completions", timeout_s=timeout_s, body=body)


def ending(transport: Transport, url: str, *, timeout_s: float = 5.0, body: Body = EMPTY) -> errors.HFAPIError:
    """The error that a call ends in, in plain words; nothing of it may show the token or what was sent."""
    with pytest.raises(errors.HFAPIError) as caught:
        post(transport, url, timeout_s=timeout_s, body=body)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert "Pool(" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def says(*parts: bytes, pause_s: float = 0.0, forever: bool = False) -> Callable[[socket.socket, int], None]:
    """A conversation: reads a request, sends the parts (the last one again and again), closes."""

    def converse(connection: socket.socket, number: int) -> None:
        read_request(connection)
        for part in parts:
            connection.sendall(part)
        while forever:
            connection.sendall(parts[-1])
            time.sleep(pause_s)

    return converse


# The deadline

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "silence": (b"", 0.05),
    "status line": (b"H", 0.05),
    "headers": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "interim replies": (b"HTTP/1.1 100 Continue\r\n\r\n",),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
    "body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "chunks": (CHUNKED, b"1\r\na\r\n"),
    "chunk size": (CHUNKED, b"0"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_dripping_server_is_cut_at_the_deadline(transport: Transport, name: str) -> None:
    parts = [part for part in DRIPS[name] if isinstance(part, bytes)]
    with raw_server(says(*parts, pause_s=0.05, forever=True)) as url:
        started = time.monotonic()
        error = ending(transport, url, timeout_s=0.4)
        took_s = time.monotonic() - started
    assert type(error) is errors.HFTimeoutError
    assert "0.4 s" in str(error)
    assert 0.3 < took_s < PATIENCE_S


def stare(connection: socket.socket, _number: int) -> None:
    """Read nothing, until the caller has gone."""
    gone = select.poll()
    gone.register(connection, select.POLLRDHUP)
    gone.poll(60_000)


def test_a_server_that_does_not_read_is_cut_too(transport: Transport) -> None:
    with raw_server(stare) as url:
        started = time.monotonic()
        error = ending(transport, url, timeout_s=0.5, body=Body([b"x" * 20_000_000]))
        assert time.monotonic() - started < PATIENCE_S
    assert type(error) is errors.HFTimeoutError


def test_a_tls_handshake_that_never_ends_is_cut(transport: Transport) -> None:
    with raw_server(stare) as url:
        error = ending(transport, url.replace("http:", "https:"), timeout_s=0.5)
    assert type(error) is errors.HFTimeoutError


def test_one_thread_watches_all_calls(transport: Transport) -> None:
    all_asked = threading.Barrier(31, timeout=PATIENCE_S)

    def answers_when_all_have_asked(connection: socket.socket, number: int) -> None:
        read_request(connection)
        all_asked.wait()
        all_asked.wait()
        connection.sendall(HELLO)

    def watchers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "hf-deadlines"}

    others = watchers()
    with raw_server(answers_when_all_have_asked) as url, ThreadPoolExecutor(30) as pool:
        calls = [pool.submit(post, transport, url, timeout_s=60) for _ in range(30)]
        all_asked.wait()
        assert len(watchers() - others) == 1
        all_asked.wait()
        assert all(call.result().status == 200 for call in calls)


def test_a_short_deadline_does_not_stick_to_its_connection(transport: Transport) -> None:
    with raw_server(_first_fast_then_slow) as url:
        assert post(transport, url, timeout_s=1.5).status == 200
        assert post(transport, url, timeout_s=30).status == 200


def _first_fast_then_slow(connection: socket.socket, number: int) -> None:
    read_request(connection)
    connection.sendall(HELLO)
    read_request(connection)
    time.sleep(2)
    connection.sendall(HELLO)


# Bounds


ENDLESS = {
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",),
    "body without a length": (b"HTTP/1.1 200 OK\r\n\r\n",),
    "chunk": (CHUNKED, b"2540be400\r\n"),
    "chunk of size -1": (CHUNKED, b"-1\r\n"),
    "chunk size line": (CHUNKED, b"1;"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_ten_gigabytes_are_not_read(transport: Transport, name: str) -> None:
    sent = 0

    def pour(connection: socket.socket, number: int) -> None:
        nonlocal sent
        read_request(connection)
        connection.sendall(b"".join(ENDLESS[name]))
        while True:
            connection.sendall(b"a" * 65_536)
            sent += 65_536

    with raw_server(pour) as url:
        error = ending(transport, url, timeout_s=20)
    assert isinstance(error, errors.HFBadAnswerError | errors.HFConnectionError)
    assert sent < 4 * MAX_BODY_BYTES


def test_a_gzip_bomb_is_not_unpacked(transport: Transport) -> None:
    bomb = gzip.compress(gzip.compress(b"a" * 300_000_000, 1), 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with raw_server(says(head, bomb)) as url:
        error = ending(transport, url)
    assert type(error) is errors.HFBadAnswerError
    assert "longer" in str(error)


def test_of_an_error_page_the_start_is_enough(transport: Transport) -> None:
    head = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    with raw_server(says(head, b"busy " * 20_000, forever=True)) as url:
        reply = post(transport, url)
    assert reply.status == 503
    assert len(reply.body) < 100_000


def test_endless_headers_are_no_reply(transport: Transport) -> None:
    with raw_server(says(b"HTTP/1.1 200 OK\r\n", b"X: %b\r\n" % (b"a" * 60_000), forever=True)) as url:
        assert isinstance(ending(transport, url), errors.HFConnectionError | errors.HFBadAnswerError)


# Broken replies

BROKEN = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "not HTTP": b"hello there\r\n\r\n",
    "half the body": b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"half":',
    "half a chunk": CHUNKED + b"ff\r\n{",
    "no chunk size": CHUNKED + b"zz\r\n{",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reply_is_a_broken_connection(transport: Transport, name: str) -> None:
    with raw_server(says(BROKEN[name])) as url:
        error = ending(transport, url)
    assert type(error) is errors.HFConnectionError


def test_the_status_of_a_truncated_error_counts(transport: Transport) -> None:
    with raw_server(says(b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\nslow")) as url:
        reply = post(transport, url)
    assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "7", b"slow")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: ", CHUNKED])
    | st.integers(100, 999).map(lambda status: b"HTTP/1.1 %d X\r\n" % status),
    st.binary(max_size=200) | st.text(alphabet="0123456789abc:;,=\r\n -", max_size=80).map(str.encode),
)
def test_whatever_bytes_come_back_the_end_is_typed(transport: Transport, start: bytes, rest: bytes) -> None:
    with raw_server(says(start + rest)) as url:
        try:
            reply = post(transport, url, timeout_s=2)
        except errors.HFAPIError:
            return
    assert isinstance(reply.body, bytes)


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\nLink: </a>"])
def test_interim_replies_are_passed_over(transport: Transport, interim: bytes) -> None:
    with raw_server(says(b"HTTP/1.1 %b\r\n\r\n" % interim * 3 + HELLO)) as url:
        assert post(transport, url).status == 200


# Reaching the server


def test_a_closed_port_was_never_reached(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = ending(transport, f"http://127.0.0.1:{port}/v1")
    assert type(error) is errors.HFUnreachableError
    assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error)


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http://[::1", "http://a..b/", "http://\udc80/"])
def test_a_name_that_leads_nowhere_was_never_reached(transport: Transport, url: str) -> None:
    assert type(ending(transport, url)) is errors.HFUnreachableError


def test_plain_http_behind_https_is_named_tls(transport: Transport) -> None:
    with ScriptedServer(Scripted({})) as server:
        error = ending(transport, server.url.replace("http:", "https:"))
    assert type(error) is errors.HFConnectionError
    assert "TLS" in str(error)


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_proxies_of_the_environment_are_used(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with ScriptedServer(Scripted({"by": "proxy"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1").replace("http://", scheme))
        reply = post(transport, "http://far-away.invalid/v1")
    assert b"proxy" in reply.body
    assert proxy.seen[0].path == "http://far-away.invalid/v1/chat/completions"


def test_a_proxy_that_is_down_or_refuses_spends_nothing(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as url:
        monkeypatch.setenv("https_proxy", url.removesuffix("/v1").replace("//", "//user:password@"))
        error = ending(transport, "https://far-away.invalid/v1")
    assert type(error) is errors.HFUnreachableError
    assert "proxy" in str(error)
    assert "password" not in str(error)


@pytest.mark.parametrize("place", ["127.0.0.1:80x", "127.0.0.1:0", "", ":3128", "[::1"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_that_cannot_be_one_is_named_without_its_password(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, scheme: str, place: str
) -> None:
    monkeypatch.setenv("https_proxy", f"{scheme}user:password@{place}")
    error = ending(transport, "https://far-away.invalid/v1")
    assert type(error) is errors.HFUnreachableError
    assert "check HTTPS_PROXY" in str(error)
    assert "password" not in str(error)


# Redirects, tokens, cookies


def test_a_redirect_is_not_followed_and_the_token_stays(transport: Transport) -> None:
    with (
        ScriptedServer(Scripted({})) as other,
        ScriptedServer(Scripted(b"x", 307, {"Location": other.url.replace("127.0.0.1", "localhost")})) as server,
    ):
        reply = post(transport, server.url)
    assert reply.status == 307
    assert other.seen == []


def test_a_redirects_endless_body_is_not_read(transport: Transport) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
    with raw_server(says(head, b"a" * 65_536, forever=True)) as url:
        assert post(transport, url).status == 302


def test_netrc_does_not_replace_the_token(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with ScriptedServer(Scripted({})) as server:
        post(transport, server.url)
        transport.call("GET", server.url, timeout_s=5, anonymous=True)
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" not in server.seen[1].headers


@pytest.mark.parametrize("first", [True, False])
def test_the_token_goes_out_or_stays_whoever_called_the_same_url_before(transport: Transport, first: bool) -> None:
    with ScriptedServer(Scripted({})) as server:
        for anonymous in (first, not first):
            transport.call("GET", server.url, timeout_s=5, anonymous=anonymous)
    assert ["Authorization" in seen.headers for seen in server.seen] == [not first, first]


def test_an_echoed_token_is_blotted_out(transport: Transport) -> None:
    echo = {"X-Error-Message": f"bad {TOKEN}", f"X-{TOKEN}": "a name"}
    with ScriptedServer(Scripted({"you sent": TOKEN}, 401, echo)) as server:
        reply = post(transport, server.url)
    assert TOKEN.lower() not in f"{reply.body!r} {reply.headers}".lower()
    assert reply.headers["x-***"] == "a name"
    assert TOKEN not in repr(transport)


def test_cookies_are_not_kept(transport: Transport) -> None:
    with ScriptedServer(Scripted({}, headers={"Set-Cookie": "a=b; Path=/"})) as server:
        post(transport, server.url)
        post(transport, server.url)
    assert "Cookie" not in server.seen[1].headers


# Connections


def test_connections_are_reused_but_not_after_an_error(transport: Transport) -> None:
    with ScriptedServer(Scripted({}), Scripted({}), Scripted({}, 500), Scripted({})) as server:
        for _ in range(4):
            post(transport, server.url)
    first, second, third, fourth = (seen.connection for seen in server.seen)
    assert first == second == third != fourth


def test_a_stale_connection_costs_nothing(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes just when the second call goes out, with other stale connections in the pool."""
    monkeypatch.setattr("worker.hf.transport.STALE_WINDOW_S", PATIENCE_S)
    requests: list[int] = []
    both = threading.Barrier(2)

    def drops_the_second(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            requests.append(number)
            if number > 2:
                connection.sendall(HELLO)
            elif requests.count(number) == 1:
                both.wait(PATIENCE_S)
                connection.sendall(HELLO)
            else:
                return

    with raw_server(drops_the_second) as url:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: post(transport, url), range(2)))
        assert post(transport, url).status == 200
    assert sorted(requests) in ([1, 1, 2, 3], [1, 2, 2, 3])


def test_a_first_call_that_is_dropped_is_not_repeated(transport: Transport) -> None:
    connections: list[int] = []

    def drop(connection: socket.socket, number: int) -> None:
        connections.append(number)
        read_request(connection)

    with raw_server(drop) as url:
        assert type(ending(transport, url)) is errors.HFConnectionError
    assert connections == [1]


def test_a_call_that_was_being_worked_on_is_not_repeated(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.hf.transport.STALE_WINDOW_S", 0.2)
    connections: list[int] = []

    def works_then_dies(connection: socket.socket, number: int) -> None:
        connections.append(number)
        read_request(connection)
        connection.sendall(HELLO)
        read_request(connection)
        time.sleep(0.5)

    with raw_server(works_then_dies) as url:
        post(transport, url)
        assert type(ending(transport, url)) is errors.HFConnectionError
    assert connections == [1]


def test_an_early_refusal_of_a_long_body_is_heard(transport: Transport) -> None:
    def refuse(connection: socket.socket, number: int) -> None:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    with raw_server(refuse) as url:
        assert post(transport, url, body=Body([b"x" * 2_000_000])).status == 413


def test_a_call_that_waits_for_its_answer_holds_no_image(transport: Transport) -> None:
    held_bytes: list[int] = []

    def weigh(connection: socket.socket, number: int) -> None:
        read_request(connection)
        traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)])
        held_bytes.append(sum(trace.size for trace in traces.traces))
        connection.sendall(HELLO)

    tracemalloc.start()  # before the image is made: only what is allocated from here on is weighed
    try:
        image = ImageToSend(lambda: bytes(3_000_000))
        with raw_server(weigh) as url:
            assert post(transport, url, body=Body([image])).status == 200
    finally:
        tracemalloc.stop()
    assert held_bytes[0] < 1_000_000


def test_an_image_that_has_to_be_sent_again_is_made_again(transport: Transport) -> None:
    bodies: list[bytes] = []

    def drops_the_second(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            bodies.append(request.partition(b"\r\n\r\n")[2])
            if len(bodies) == 2:
                return
            connection.sendall(HELLO)

    with raw_server(drops_the_second) as url:
        post(transport, url)
        assert post(transport, url, body=Body([ImageToSend(lambda: b"chart" * 99)])).status == 200
    assert bodies[1] == bodies[2] == base64.b64encode(b"chart" * 99)


def test_a_hundred_threads_share_one_transport(transport: Transport) -> None:
    with ScriptedServer(Scripted({"ok": True})) as server, ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: post(transport, server.url, timeout_s=20), range(400)))
    assert {reply.status for reply in replies} == {200}
    assert len(server.seen) == 400
