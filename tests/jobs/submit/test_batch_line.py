"""A line of a requests file: what is taken, what is kept of it, and what is said of the rest."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from support.pictures import encoded, picture
from support.request_lines import MODEL, ask, body, data_uri, image_part, request

from jobs.charts.links import chart_of
from jobs.charts.storage import stored_path
from jobs.core.errors import InputError
from jobs.core.job import Question
from jobs.submit.batch_line import parse_request
from jobs.submit.messages import IMAGE_SLOT, read_messages

URL = "charts/a.png"
PNG = encoded(picture())


def parsed(line: str, **options: Any) -> Question:
    return parse_request(line.encode(), **options).question


# What is kept


def test_a_text_and_a_picture_are_the_question_that_p_asks() -> None:
    found = parse_request(request("r-1", body(ask("Up?", URL))).encode())
    assert (found.custom_id, found.image_urls) == ("r-1", [URL])
    assert found.question == Question(prompt="Up?", model=MODEL, parameters={"max_tokens": 50})


def test_a_prompt_may_say_what_marks_the_pictures_place() -> None:
    assert read_messages(ask(f"What is {IMAGE_SLOT}?", URL)).messages is None


def test_what_says_nothing_makes_no_other_job() -> None:
    plain = parsed(request("r", body(ask("Up?", URL))))
    assert parsed(request("r", {**body(ask("Up?", URL)), "stream": False, "n": 1})).id == plain.id
    assert parsed(request("r", {**body(ask("Up?", URL)), "stream": None, "stream_options": None})).id == plain.id
    assert parsed(request("another name", body(ask("Up?", "elsewhere.png")))).id == plain.id
    assert parsed(request("r", {**body(ask("Up?", URL)), "temperature": 0})).id != plain.id


def test_parameters_go_along() -> None:
    more = {"temperature": 0, "response_format": {"type": "json_object"}, "seed": 7}
    assert parsed(request("r", {**body(ask("Up?", URL)), **more})).parameters == {"max_tokens": 50, **more}


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([{"role": "system", "content": "Be brief."}, *ask("Up?", URL)], "Up?"),
        ([{"role": "user", "content": [image_part(URL), {"type": "text", "text": "Up?"}]}], "Up?"),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "One."}, image_part(URL), {"type": "text", "text": "Two."}],
                }
            ],
            "One.\n\nTwo.",
        ),
        ([*ask("Up?", URL), {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Sure?"}], "Sure?"),
        ([{"role": "system", "content": "Name the trend."}, {"role": "user", "content": [image_part(URL)]}], ""),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Up?"},
                        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
                    ],
                }
            ],
            "Up?",
        ),
        ([{"role": "user", "name": "ann", "content": [{"type": "text", "text": "Up?"}, image_part(URL)]}], "Up?"),
    ],
)
def test_any_other_conversation_is_kept_as_it_is(
    messages: list[ChatCompletionMessageParam], prompt: str | None
) -> None:
    found = read_messages(messages)
    assert found.image_urls == [URL]
    assert found.prompt == prompt
    assert found.messages is not None
    assert json.loads(json.dumps(found.messages).replace(IMAGE_SLOT, URL)) == messages
    question = parsed(request("r", body(messages)))
    assert question.messages == found.messages
    assert question.id != Question(prompt=prompt, model=MODEL, parameters={"max_tokens": 50}).id
    assert question.id == parsed(request("r", body(json.loads(json.dumps(messages).replace(URL, "b.png"))))).id


@pytest.mark.parametrize("content", ["Up?", [{"type": "text", "text": "Up?"}]])
def test_a_text_alone_is_a_question_without_a_picture(content: Any) -> None:
    found = parse_request(request("r", body([{"role": "user", "content": content}])).encode())
    assert (found.image_urls, found.question.messages, found.question.prompt) == ([], None, "Up?")


def test_several_pictures_keep_their_order() -> None:
    parts: list[Any] = [{"type": "text", "text": "Which one?"}, image_part("b.png"), image_part("a.png")]
    found = parse_request(request("r", body([{"role": "user", "content": parts}])).encode())
    assert (found.image_urls, found.question.messages) == (["b.png", "a.png"], None)
    spread: list[Any] = [{"role": "user", "content": [parts[1], parts[0], parts[2]]}]
    kept = parse_request(request("r", body(spread)).encode())
    assert kept.image_urls == ["b.png", "a.png"]
    assert kept.question.messages is not None
    assert json.dumps(kept.question.messages).count(IMAGE_SLOT) == 2


def test_a_url_is_the_providers_to_fetch_and_its_own_identity() -> None:
    one, same, other = (
        chart_of(url, folder=Path("/nowhere"), chart_root=None)
        for url in ("https://example.com/a.png?x=1", "HTTPS://example.com/a.png?x=1", "https://example.com/a.png?x=2")
    )
    assert (one.stored, one.picture) == ("https://example.com/a.png?x=1", None)
    assert one == same
    assert one.sha256 != other.sha256


def test_another_model_may_be_asked() -> None:
    assert parsed(request("r", body(ask("Up?", URL))), model="org/other").model == "org/other"
    assert parsed(request("r", {"messages": ask("Up?", URL)}), model="org/other").model == "org/other"


# What is refused


def _bad_body(**changes: Any) -> str:
    return request("r", {**body(ask("Up?", URL)), **changes})


def _bad_messages(messages: Any) -> str:
    return request("r", {"model": MODEL, "messages": messages})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "no JSON at character"),
        ("[]", "it is a list, not an object with custom_id"),
        ('"x"', 'it is "x", not an object'),
        ('{"custom_id": NaN}', "NaN is no JSON"),
        ('{"custom_id": ' + "9" * 5000 + "}", "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        (request("r", body(ask("Up?", URL)), custom_id=...), '"custom_id" is missing'),
        (request("", body(ask("Up?", URL))), '"custom_id" is ""'),
        (request("r", body(ask("Up?", URL)), custom_id=7), '"custom_id" is 7'),
        (request("r" * 513, body(ask("Up?", URL))), "513 characters"),
        (request("\ud800", body(ask("Up?", URL))), "halves of characters"),
        (request("a\0", body(ask("Up?", URL))), "NUL"),
        (request("r", body(ask("Up?", URL)), method="GET"), 'write "POST"'),
        (request("r", body(ask("Up?", URL)), url="/v1/embeddings"), 'only "/v1/chat/completions"'),
        (request("r", {}, body=...), '"body" is missing'),
        (_bad_body(stream=True), '"stream" is on'),
        (_bad_body(n=2), '"n" is 2'),
        (request("r", {"messages": ask("Up?", URL)}), '"model" is missing'),
        (_bad_body(model="two words"), "no model id"),
        (_bad_body(temperature="?").replace('"?"', "1e999"), "JSON"),
        (_bad_messages(None), "no list of chat messages"),
        (_bad_messages([]), "no list of chat messages"),
        (_bad_messages([{"content": "Up?"}]), "no list of chat messages"),
        (_bad_messages([{"role": "user", "content": ["Up?"]}]), "no list of chat messages"),
        (_bad_messages([{"role": "user", "content": " "}]), "it asks nothing"),
        (_bad_messages(ask("Up?", URL) * 65), "65 pictures in it; at most 64"),
        (_bad_messages([{"role": "user", "content": [{"type": "image_url", "image_url": URL}]}]), "has no URL"),
        (_bad_messages([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]), "no URL"),
        (_bad_messages(ask("\0", URL)), "NUL"),
        (_bad_messages(ask("\udc80", URL)), "UTF-8"),
        (_bad_messages(ask("x" * 200_001, URL)), "at most 200,000"),
        (_bad_messages([{"role": "system", "content": "x" * 200_001}, *ask("Up?", URL)]), "at most 200,000"),
    ],
)
def test_what_cant_be_asked_is_said_in_a_sentence(line: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_request(line.encode("utf-8", "surrogatepass"))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_bytes_that_are_no_utf8_are_said() -> None:
    with pytest.raises(InputError, match="no UTF-8 at byte 3"):
        parse_request(b'{"\xff": 1}')


# Where the picture is


def test_a_picture_is_found_by_path_by_url_and_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a folder#1"
    (folder / "charts").mkdir(parents=True)
    file = folder / "charts" / "é 1.png"
    file.write_bytes(PNG)
    urls = ["charts/é 1.png", str(file), file.as_uri(), f"file://localhost{file.as_uri()[7:]}", f"file://{file}"]
    for url in urls:
        found = chart_of(url, folder=folder, chart_root=None)
        assert (Path(found.stored), found.picture) == (file, None)
    for uri in (data_uri(PNG), data_uri(PNG, "image/x-whatever"), data_uri(PNG).rstrip("=")):
        within = chart_of(uri, folder=folder, chart_root=tmp_path / "elsewhere")
        assert within.picture == PNG
        assert within.sha256 == found.sha256
        assert within.stored == f"picture://{found.sha256}"


def test_a_path_is_never_the_name_of_a_picture_in_the_ledger(tmp_path: Path) -> None:
    tricky = tmp_path / "picture:" / ("ab" * 32)
    tricky.parent.mkdir()
    tricky.write_bytes(PNG)
    for url in (f"picture:/{'ab' * 32}", f"./picture://{'ab' * 32}", str(tricky)):
        assert chart_of(url, folder=tmp_path, chart_root=tmp_path).stored == f"picture:/{'ab' * 32}"
    assert stored_path(tmp_path / f"picture://{'ab' * 32}", tmp_path) == f"picture:/{'ab' * 32}"
    with pytest.raises(InputError, match="write an https:// URL"):
        chart_of(f"picture://{'ab' * 32}", folder=tmp_path, chart_root=None)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://exa mple.com/a.png", "no URL that can be fetched"),
        ("https:///a.png", "it names no host"),
        ("https://[::1", "that is no URL: Invalid IPv6 URL"),
        ("https://[a]/x.png", "that is no URL"),
        ("https://example.com/" + "a" * 8000, "no URL that can be fetched"),
        ("HTTP://example.com/a.png", "write an https:// URL, which the provider fetches, a data URI"),
        ("s3://bucket/a.png", "a file:// URL or a path"),
        ("file://server/share/a.png", "no file of this machine"),
        ("file://a.png", "no file of this machine"),
        ("missing.png", "can't be read"),
        ("file:///no/where%00.png", "can't be read"),
        ("\ud800.png", "can't be read"),
        (".", "is a folder"),
        ("notes.txt", "not an image"),
        ("/dev/zero", "not an image file"),
        ("data:,hello", "not in base64"),
        ("data:image/png;base64," + "!" * 20, "damaged"),
        ("data:image/png;base64,é", "damaged"),
        ("data:image/png;base64,", "empty"),
        (f"data:image/png;base64,{base64.b64encode(PNG[:60]).decode()}", "damaged"),
        (data_uri(b"<html>"), "web page"),
    ],
)
def test_a_picture_that_cant_be_had_is_said_in_a_sentence(url: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError) as caught:
        chart_of(url, folder=tmp_path, chart_root=None)
    assert says in str(caught.value)


def test_no_path_leads_out_of_chart_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(PNG)
    (root / "inside.png").write_bytes(PNG)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    assert chart_of("../inside.png", folder=root / "deep", chart_root=root).stored == "inside.png"
    for url in ("../../outside.png", "../link.png", (tmp_path / "outside.png").as_uri()):
        with pytest.raises(InputError, match="outside CHART_ROOT"):
            chart_of(url, folder=root / "deep", chart_root=root)
