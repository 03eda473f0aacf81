"""Whatever stands in the settings, and whatever a server sends: an answer or a typed error, within bounded time."""

import gzip
import json
import secrets
import socket
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.hf_server import PNG, chat_reply, raw_server, read_request
from support.stack import PATIENCE_S

from jobs.broker.connect import hide_password, redis_connection
from jobs.config.settings import ACCEPTED, load_settings, variables
from jobs.core.errors import ChartqError, SettingsError
from jobs.ledger import Ledger
from worker.hf.from_settings import check_token, client_config
from worker.hf_client import HFAPIError, HFConfig, HuggingFaceClient

VARIABLES = sorted({name for one in ACCEPTED for name in variables(one)})
#: Not written out: hypothesis tries words that it finds in the source, also where they are no secret.
SECRET = secrets.token_hex(6)

QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# Settings -----------------------------------------------------------------------------------------------

numbers = st.one_of(
    st.integers().map(str), st.floats().map(str), st.sampled_from(["1e999", "-0", "٣", "1_0", "0x10", "+5", "9" * 400])
)
rates = st.from_regex(r"([a-z/]{0,5}=)?-?[0-9]{1,30}/[0-9]{0,30}[smhdx]?(,[0-9]/[smh])?", fullmatch=True)
hosts = st.one_of(
    st.text(max_size=8), st.sampled_from(["[::1]", "[", "host", "host:99999", "host:-1", "ho st", "é.de"])
)
urls = st.builds(
    lambda scheme, user, host, rest: f"{scheme}://{user}{host}{rest}",
    st.sampled_from(
        ["http", "https", "redis", "rediss", "unix", "sqlite", "postgresql", "postgresql+psycopg", "ftp", ""]
    ),
    st.sampled_from(["", f"u:{SECRET}@", f":{SECRET}@", "@"]),
    hosts,
    st.one_of(st.just(""), st.text(max_size=10).map(lambda text: f"/{text}"), st.just("?a=b#c"), st.just("/\0")),
)
values = st.one_of(st.text(max_size=20), numbers, rates, urls, st.sampled_from(["Müller", "a" * 10_000, "~nobody/x"]))
lines = st.one_of(
    st.builds(
        lambda export, name, equals, value: f"{export}{name}{equals}{value}",
        st.sampled_from(["", "export ", "  "]),
        st.sampled_from([*VARIABLES, "HF_TOKEN_FILE", "RESULTS_URL_FILE", "OTHER"]),
        st.sampled_from(["=", " = ", "", "='", '="', ":"]),
        values,
    ),
    st.text(max_size=30),
).map(lambda line: line.encode("utf-8", "surrogatepass"))
env_files = st.lists(lines | st.binary(max_size=20), max_size=6).map(b"\n".join)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@QUICK
@given(env_files)
def test_any_env_file_is_read_or_told(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".env"
        file.write_bytes(content)
        _read_or_told(file)


@QUICK
@given(st.sampled_from(VARIABLES), values)
@example(name="HF_BILL_TO", value="Müller")
def test_any_value_of_any_variable_is_taken_or_told(name: str, value: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        try:
            monkeypatch.setenv(name, value)
        except (ValueError, UnicodeEncodeError):
            return  # no system has such a variable
        _read_or_told(Path(folder) / "none")


def _read_or_told(file: Path) -> None:
    """What was accepted is usable by what comes after it."""
    try:
        read = load_settings(env_file=file)
        client_config(read)
        check_token(read)
    except SettingsError as error:
        said = str(error)
    else:
        said = repr(read)
    assert SECRET not in said


@QUICK
@given(urls.map(lambda url: url.partition("://")[2]), st.sampled_from(["redis://", "rediss://", "unix://"]))
def test_any_redis_url_is_told_without_its_password(rest: str, scheme: str) -> None:
    # Nobody else's server is asked: an address of this machine, where nothing listens.
    url = f"{scheme}u:{SECRET}@127.0.0.1:1/{rest.replace(SECRET, 'x')}"
    with pytest.raises(ChartqError) as caught, redis_connection(load_settings(env_file=None, redis_url=url)):
        pass
    assert SECRET not in str(caught.value)
    assert SECRET not in hide_password(url)


options = st.lists(
    st.builds(
        lambda name, value: f"{name}={value}",
        st.sampled_from(
            ["sslmode", "connect_timeout", "options", "port", "timeout", "mode", "detect_types", "password"]
        ),
        st.one_of(st.text(max_size=6), st.sampled_from(["-1", "x", "verify-full", "memory", "1e9", "%00"])),
    )
    | st.just(f"password={SECRET}"),
    max_size=2,
).map("&".join)


@settings(parent=QUICK, max_examples=60)
@given(st.sampled_from(["sqlite", "postgresql"]), st.text(max_size=8), options)
@example(kind="sqlite", name="a", query="timeout=long")
@example(kind="postgresql", name="a", query="port=none")
@example(kind="sqlite", name="\0", query="")
def test_any_results_url_opens_or_is_told_without_its_password(kind: str, name: str, query: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = f"/{folder}/home-{name.replace('/', '')}" if kind == "sqlite" else f"u:{SECRET}@127.0.0.1:1/{name}"
        try:
            Ledger.open(f"{kind}://{place}?{query}").close()
        except ChartqError as error:
            said = str(error)
        else:
            said = ""
    assert SECRET not in said


# Replies ------------------------------------------------------------------------------------------------

GOOD = json.dumps(chat_reply("Up.")).encode()

bodies = st.one_of(
    st.sampled_from(
        [GOOD, gzip.compress(GOOD), zlib.compress(GOOD), gzip.compress(GOOD)[:-9], GOOD[:40], b"", b"null"]
    ),
    st.binary(max_size=60),
)
sizes = st.one_of(numbers, st.sampled_from(["0", "5", "5, 5", "99999", str(len(GOOD))]))
waits = st.one_of(numbers, st.sampled_from(["Wed, 21 Oct 2099 07:28:00 GMT", "Thu, 99 Foo", "soon", "1;w=2", ""]))
headers = st.lists(
    st.one_of(
        st.tuples(st.just("Content-Length"), sizes),
        st.tuples(
            st.just("Content-Encoding"), st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, gzip", "x", ""])
        ),
        st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "identity", "gzip, chunked", "x"])),
        st.tuples(
            st.just("Content-Type"),
            st.sampled_from(["application/json; charset=x", "text/event-stream", "text/html", "image/png", ";", ""]),
        ),
        st.tuples(st.sampled_from(["Retry-After", "retry-after-ms", "x-ratelimit-reset", "RateLimit-Reset"]), waits),
        st.tuples(
            st.sampled_from(["RateLimit", "RateLimit-Policy", "Location", "X-Error-Message", "X-Request-Id"]),
            st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20)
            | st.sampled_from(['"api";r=0;t=x', '"api";r=0;t=99999999999999', "http://[", "//"]),
        ),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([200, 204, 206, 301, 400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 599]), headers, bodies)
def test_any_reply_over_the_wire_is_an_answer_or_a_typed_error(
    status: int, sent: list[tuple[str, str]], body: bytes
) -> None:
    head = b"".join(f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in sent)
    with (
        raw_server(_says(b"HTTP/1.1 %d X\r\n%s\r\n%s" % (status, head, body))) as url,
        HuggingFaceClient(HFConfig(api_key="hf_x", timeout=10, base_url=url)) as client,
    ):
        began = time.monotonic()
        try:
            answer = client.ask(model="org/model", prompt="Up?", images=[PNG])
        except HFAPIError as raised:
            error = raised
        else:
            assert answer.text.strip()
            return
    assert str(error).isprintable()
    assert error.hint_s is None or error.hint_s > 0
    assert time.monotonic() - began < PATIENCE_S


def _says(reply: bytes) -> Callable[[socket.socket, int], None]:
    def converse(connection: socket.socket, _number: int) -> None:
        read_request(connection)
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)

    return converse
