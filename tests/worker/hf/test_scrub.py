"""A token that a server echoes is in nothing that is kept, however it was encoded, nor in what that decodes to."""

import base64
import html
import json
import time
from string import ascii_letters, digits
from urllib.parse import quote, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hf_server import Scripted, ScriptedServer, chat_reply

from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig
from worker.hf.errors import HFAPIError
from worker.hf.scrub import Scrubber

TOKEN = "hf_aB/c+d=e-f.g~h%i&j<k"

#: What a bearer token may hold (RFC 6750, 2.1), and what else people give out; a backslash at its end or a
#: per cent sign before its digits would be read together with what stands around it.
tokens = st.text(st.sampled_from(f"{ascii_letters}{digits}-._~+/=!#$&():;<>?@[]^{{|}}\"'"), min_size=12, max_size=40)

ENCODINGS = {
    "as it is": lambda text: text,
    "json": lambda text: json.dumps(text)[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "json, all of it": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "json, in capitals": lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
    "percent": quote,
    "percent, all of it": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "percent, slashes too": lambda text: quote(text, safe=""),
    "html": html.escape,
    "html, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html, hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "html, hexadecimal, in capitals": lambda text: "".join(f"&#X{ord(char):X};" for char in text),
    "html, decimal, bare": lambda text: "".join(f"&#{ord(char)}" for char in text),
    "html, decimal, padded": lambda text: "".join(f"&#{ord(char):010};" for char in text),
    "html, hexadecimal, bare and padded": lambda text: "".join(f"&#x{ord(char):08x}" for char in text),
    # A semicolon of the token's own would be read as the name's.
    "html, bare names": lambda text: (
        html.escape(text)
        if ";" in text
        else text.replace("&", "&amp").replace("<", "&lt").replace(">", "&gt").replace('"', "&quot")
    ),
    "javascript": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "javascript, in braces": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "python": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "percent, of old": lambda text: "".join(f"%u{ord(char):04x}" for char in text),
    "html, by name": lambda text: text.replace("&", "&amp;").replace("/", "&sol;").replace("=", "&equals;"),
    "form, read": lambda text: text.replace("+", " "),
}
encodings = st.sampled_from(list(ENCODINGS.values()))


def decoded(text: str) -> list[str]:
    """`text`, and what its readers may make of it, several times over."""
    stages = [text]
    for _ in range(3):
        new = [html.unescape(one) for one in stages] + [unquote(one) for one in stages]
        new += [unquote_plus(one) for one in stages]
        for one in stages:
            try:
                new.append(str(json.loads(f'"{one}"')))
            except ValueError:
                continue
        stages = sorted({*stages, *new})
    return stages


@given(tokens, encodings, encodings, st.sampled_from(["", "key ", '{"you sent": "', "a=b&key=", "<p>"]))
def test_no_token_in_any_encoding_of_any_encoding_stays(token: str, inner, outer, before: str) -> None:  # type: ignore[no-untyped-def]
    said = f"{before}{outer(inner(token))} is wrong"
    clean = Scrubber(token).text(said)
    assert "***" in clean
    assert token not in "\n".join(decoded(clean))


def test_all_its_echoes_go_each_in_its_own_encoding() -> None:
    echoes: list[str] = [encode(TOKEN) for encode in ENCODINGS.values()]  # type: ignore[operator]
    assert Scrubber(TOKEN).text(" ".join(echoes)) == " ".join(["***"] * len(echoes))


@pytest.mark.parametrize("said", ["hf_%41bcdefgh", "hf_Abcdefgh", "%68f_%41bcdefgh", "hf_%2541bcdefgh"])
def test_one_that_looks_encoded_itself_goes_as_its_readers_decode_it_too(said: str) -> None:
    assert Scrubber("hf_%41bcdefgh").text(f"key {said} is wrong") == "key *** is wrong"


@pytest.mark.parametrize("name", ["amp", "lt", "gt", "quot"])
def test_a_bare_name_is_read_as_html_reads_it(name: str) -> None:
    token = html.unescape(f"hf_secret&{name};0")
    assert Scrubber(token).text(f"hf_secret&{name}0 is wrong") == "*** is wrong"


def test_a_bare_name_before_letters_and_a_semicolon_is_read_as_html_reads_it() -> None:
    assert Scrubber("0000000000&0").text("0000000000&ampamp;0 is wrong") == "*** is wrong"


@pytest.mark.parametrize("said", [TOKEN.encode().hex(), TOKEN.encode().hex().upper()])
def test_its_bytes_in_hexadecimal_go_too(said: str) -> None:
    assert Scrubber(TOKEN).text(f"key {said} is wrong") == "key *** is wrong"


@pytest.mark.parametrize("lead", ["", "u", "us", "user:"])
@pytest.mark.parametrize("trail", ["", "\n", "?", ":x", "@host"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_known_wherever_the_token_begins_and_whatever_follows(lead: str, trail: str, encode) -> None:  # type: ignore[no-untyped-def]
    said = encode(f"{lead}{TOKEN}{trail}".encode()).decode()
    clean = Scrubber(TOKEN).text(f"Basic {said} is wrong")
    assert clean.startswith("Basic ")
    assert clean.endswith(" is wrong")
    assert "***" in clean
    assert len(clean) < len("Basic  is wrong") + 12 + 2 * len(trail)


@given(st.text(), tokens)
def test_other_texts_are_left_as_they_are(text: str, token: str) -> None:
    clean = Scrubber("hf_" + token + "_zq9")
    assert clean.text(text) == text
    assert clean.body(text.encode("utf-8", "surrogatepass")) == text.encode("utf-8", "surrogatepass")


def test_what_stands_around_it_is_left_as_it_was() -> None:
    said = r'{"a": "5 %\n\u00e9 &amp;", "t": "hf_a\u0042\/c\u002bd=e-f.g~h%i&j<k"}'
    assert Scrubber(TOKEN).text(said) == r'{"a": "5 %\n\u00e9 &amp;", "t": "***"}'


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_body_may_come_in_every_encoding_that_json_is_read_in(encoding: str) -> None:
    clean = Scrubber(TOKEN).body(json.dumps({"you sent": TOKEN}).encode(encoding))
    assert json.loads(clean) == {"you sent": "***"}


@pytest.mark.parametrize("start", [b"", b"\x80", b"\xff\xfe\x80", b"\xfe\xff", b"\0a", b"a\0", b"\0\0\xfe\xff"])
def test_of_a_body_that_is_no_text_all_but_the_token_stays_byte_for_byte(start: bytes) -> None:
    """Though it begins as UTF-16 or UTF-32 does."""
    assert Scrubber(TOKEN).body(start + TOKEN.encode() + b" \xe9\n") == start + b"*** \xe9\n"


@pytest.mark.parametrize(
    ("secrets", "said"), [(["secret_t"], "hf_secret_token"), (["secret_t", "et_token_"], "hf_secret_token_")]
)
def test_of_secrets_within_each_other_nothing_stays(secrets: list[str], said: str) -> None:
    assert Scrubber("hf_secret_token", *secrets).text(f"<{said}>") == "<***>"


@pytest.mark.parametrize("worst", ["\\", "%25", "&amp;", "&#", "&#0", "&#x0", "\\u005c", "hf_"])
def test_its_time_is_linear_whatever_comes(worst: str) -> None:
    scrubber = Scrubber(TOKEN)
    started = time.process_time()
    scrubber.body((worst * 1_000_000)[:1_000_000].encode())
    scrubber.body((worst + worst[-1] * 1_000_000).encode())
    assert time.process_time() - started < 5


def test_its_repr_shows_nothing() -> None:
    assert TOKEN not in repr(Scrubber(TOKEN)) + repr(vars(Scrubber("short")))


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("status", [200, 422])
def test_neither_answer_nor_error_holds_an_echoed_token(encode, status: int) -> None:  # type: ignore[no-untyped-def]
    echo = encode(TOKEN)
    headers = {"x-request-id": echo, "x-inference-provider": echo, "X-Error-Message": echo}
    body = json.dumps({**chat_reply(f"You sent {echo}"), "error": None}) if status == 200 else f'{{"error": "{echo}"}}'
    kept: list[object] = []
    with ScriptedServer(Scripted(body.encode(), status, headers)) as server:
        client = HuggingFaceClient(HFConfig(api_key=TOKEN, base_url=server.url))
        try:
            answer = client.ask(model="m", prompt="?")
            kept = [answer.text, answer.request_id, answer.provider, json.dumps(answer.raw), repr(answer)]
        except HFAPIError as error:
            kept = [str(error), repr(error), error.request_id, error.provider]
        client.close()
    assert kept
    assert "***" in str(kept[0])
    assert TOKEN not in "\n".join(stage for one in kept for stage in decoded(str(one)))


def test_a_token_that_came_in_parts_is_blotted_out_of_the_text() -> None:
    parts = [{"type": "text", "text": TOKEN[:9]}, {"type": "text", "text": TOKEN[9:]}]
    deltas = [{"choices": [{"delta": {"content": part["text"]}, "finish_reason": "stop"}]} for part in parts]
    stream = b"\n".join(json.dumps(delta).encode() for delta in deltas)
    with ScriptedServer(Scripted(chat_reply(parts)), Scripted(stream)) as server:
        client = HuggingFaceClient(HFConfig(api_key=TOKEN, base_url=server.url))
        assert client.ask(model="m", prompt="?").text == "***"
        streamed = client.ask(model="m", prompt="?")
        assert streamed.text == streamed.raw["choices"][0]["message"]["content"] == "***"
        client.close()


def test_a_token_that_came_in_parts_is_blotted_out_of_the_error_too() -> None:
    filtered = chat_reply([{"type": "text", "text": TOKEN[:9]}, {"type": "text", "text": TOKEN[9:]}])
    filtered["choices"][0]["finish_reason"] = "content_filter"
    with ScriptedServer(Scripted(filtered)) as server:
        client = HuggingFaceClient(HFConfig(api_key=TOKEN, base_url=server.url))
        with pytest.raises(HFAPIError, match=r"after '\*\*\*'") as caught:
            client.ask(model="m", prompt="?")
        client.close()
    assert TOKEN not in repr(caught.value) + str(caught.value)
