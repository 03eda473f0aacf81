"""The way to Redis: real servers, wrong passwords, and no password in what is said."""

import logging
import socket as sockets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from support.ports import free_port
from support.stack import PATIENCE_S

from jobs.broker.connect import hide_password, redis_connection
from jobs.broker.server_binary import find_server_program
from jobs.config.settings import load_settings
from jobs.core.errors import QueueError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a server with the password `se/same`, which drops keys when memory is short."""
    port = free_port()
    options = f"--port {port} --bind 127.0.0.1 --requirepass se/same --maxmemory-policy allkeys-lru --appendonly no"
    process = subprocess.Popen(
        [find_server_program(), *options.split(), "--save", ""],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    with closing(redis.Redis(port=port, password="se/same")) as client:
        client.ping()  # redis-py tries for seconds
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(PATIENCE_S)


def refused(url: str) -> str:
    with pytest.raises(QueueError) as caught, redis_connection(load_settings(env_file=None, redis_url=url)):
        pass
    assert caught.value.__context__ is None, "the caught error's frames hold the password"
    return str(caught.value)


def test_with_a_url_its_server_is_used_and_a_dangerous_policy_told(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://:se%2Fsame@{server}/3?decode_responses=true"
    with caplog.at_level(logging.WARNING), redis_connection(load_settings(env_file=None, redis_url=url)) as client:
        client.set("key", "value")
        assert client.get("key") == b"value", "RQ needs bytes"
        assert client.client_info()["db"] == 3
        assert client.client_getname() in {"chartq", b"chartq"}
    assert "maxmemory-policy is allkeys-lru" in caplog.text
    assert "same" not in caplog.text


def test_without_a_url_the_embedded_server_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("REDIS_URL_FILE", raising=False)
    with redis_connection(load_settings(env_file=None, chartq_home=tmp_path / "home")) as client:
        assert client.ping()
        assert (tmp_path / "home" / "redis" / "redis.sock").is_socket()
    assert not (tmp_path / "home" / "redis" / "redis.sock").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://{server}", "it wants a password"),
        ("redis://:sesame@{server}", "Check the user, the password"),
        ("redis://:se%2Fsame@{server}/999", "DB index is out of range"),
        ("redis://:se%2Fsame@{server}?nonsense=1", "Take the options after the ? out"),
        ("redis://:se%2Fsame@{server}?socket_timeout=long", "Take the options after the ? out"),
        ("rediss://:se%2Fsame@{server}?socket_timeout=0.2", "TLS"),
        ("unix://:sesame@/nowhere/redis.sock", "No such file"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_password(server: str, url: str, told: str) -> None:
    message = refused(url.format(server=server))
    assert told in message
    assert message.startswith("REDIS_URL=")
    assert "same" not in message


def test_nobody_listening_is_told_at_once() -> None:
    assert "Connection refused" in refused(f"redis://:sesame@127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("answer", "told"),
    [(b"", "write rediss://"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is this the Redis server that you meant?")],
)
def test_a_server_of_another_kind_is_told(answer: bytes, told: str) -> None:
    with closing(sockets.create_server(("127.0.0.1", 0))) as other:

        def serve() -> None:
            connection, _ = other.accept()
            with closing(connection):
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert told in refused(f"redis://127.0.0.1:{other.getsockname()[1]}")
        thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:sesame@host", "redis://:***@host"),
        ("rediss://me:sesame@host/1", "rediss://me:***@host/1"),
        ("redis://sesame@host", "redis://***@host"),
        ("redis://:ses@me/?#:@host", "redis://:***@host"),
        ("redis://host?password=sesame&db=1", "redis://host?password=***&db=1"),
        ("unix://:sesame@/run/redis.sock", "unix://:***@/run/redis.sock"),
        (
            "postgresql+psycopg://me:sesame@db:5432/x?sslpassword=s",
            "postgresql+psycopg://me:***@db:5432/x?sslpassword=***",
        ),
        ("sqlite:////home/me@work/results.db", "sqlite:////home/me@work/results.db"),
    ],
)
def test_a_shown_url_hides_its_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown
