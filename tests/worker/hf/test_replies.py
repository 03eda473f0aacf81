"""Every shape of reply that Hugging Face and its providers have been seen to send, and any other bytes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hf_server import chat_reply

from jobs.core.job import Api
from worker.hf import errors
from worker.hf.replies import Answer, read_reply
from worker.hf.retry_hints import MAX_HINT_S
from worker.hf.thinking import without_thinking

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def read(body: Any, *, headers: dict[str, str] | None = None, api: Api = "chat") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(200, headers or {}, data, api=api, now=NOW)


# Answers


def test_an_answer_keeps_what_the_server_told() -> None:
    headers = {"X-Request-Id": "Root=1-2;mine", "x-inference-provider": "novita"}
    answer = read(chat_reply("Up."), headers=headers)
    assert answer == Answer(
        text="Up.",
        raw=chat_reply("Up."),
        prompt_tokens=448,
        completion_tokens=12,
        request_id="Root=1-2;mine",
        provider="novita",
        model="org/model",
        finish_reason="stop",
    )


def test_the_rehearsal_server_is_known_by_its_header() -> None:
    assert read(chat_reply(), headers={"X-Chartq-Rehearsal": "1"}).rehearsal


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" One plus one. ", "One plus one."),
        ([{"type": "text", "text": "Up, "}, {"type": "image_url"}, {"text": "then down"}], "Up, then down"),
        (["Up"], "Up"),
        ("<think>a line that rises</think>\n\nUp", "Up"),
        ("a line that rises</think>Up", "Up"),
        ("<think>a</think>Up<think>b</think> and down", "Up and down"),
        ("<think><think>nested</think>Up", "Up"),
        ("<thinking>a line</thinking>\nUp", "Up"),
        ("<thought>a line</thought>Up", "Up"),
        (" [THINK]a line[/THINK]Up", "Up"),
        ("◁think▷a line◁/think▷Up", "Up"),
        ("<seed:think>a line</seed:think>Up", "Up"),
        ("It says <thinking>, then [THINK]", "It says <thinking>, then [THINK]"),
        ("lone \ud800 surrogate and \0", "lone ? surrogate and \N{REPLACEMENT CHARACTER}"),
    ],
)  # fmt: skip
def test_text_comes_from_the_content_without_thinking(content: Any, text: str) -> None:
    assert read(chat_reply(content)).text == text


def test_thinking_is_found_in_linear_time() -> None:
    assert without_thinking("x" + "<think>" * 300_000).startswith("x<think>")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([{"generated_text": "a chart "}], "a chart"),
        ({"generated_text": "a chart"}, "a chart"),
        ([[{"generated_text": "a chart"}]], "a chart"),
        ([{"score": 0.2, "answer": "down"}, {"score": 0.9, "answer": "up"}], "up"),
        ([{"answer": 2}], "2"),
        ({"score": 0.5, "answer": "up"}, "up"),
    ],
)
def test_task_replies_in_all_their_forms(body: Any, text: str) -> None:
    assert read(body, api="task").text == text


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(None, None), ({"prompt_tokens": 7625}, 7625), ({"prompt_tokens": -1}, None), ({"prompt_tokens": True}, None),
     ({"prompt_tokens": "7"}, None), ({"prompt_tokens": 10**25}, None), ([1], None)],
)  # fmt: skip
def test_usage_is_believed_when_it_is_a_count(usage: Any, tokens: int | None) -> None:
    assert read(chat_reply(usage=usage)).prompt_tokens == tokens


def test_numbers_that_json_elsewhere_cannot_hold_become_null() -> None:
    body = json.dumps(chat_reply()).replace('"chatcmpl-1"', "[NaN, Infinity, 1e999, " + "9" * 5000 + "]")
    assert read(body.encode()).raw["id"] == [None, None, None, None]


@pytest.mark.parametrize(
    ("body", "api", "why"),
    [
        (b"", "chat", "empty body"),
        (b"<html><title>Bad gateway</title></html>", "chat", "HTML page (Bad gateway"),
        (b'{"choices": [', "chat", "broken JSON"),
        (b"data: {}\n\n", "chat", "event stream"),
        ({"error": "Model overloaded"}, "chat", "Model overloaded"),
        ({"error": {"message": "no GPU", "code": 7}}, "task", "no GPU"),
        ({"choices": []}, "chat", "no choices"),
        ([{"generated_text": "a"}], "chat", "no choices"),
        (chat_reply(None), "chat", "null content"),
        (chat_reply(""), "chat", "empty content"),
        (chat_reply("<think>so the line"), "chat", "nothing but thinking"),
        (chat_reply([{"type": "image_url"}]), "chat", "empty content"),
        ({"choices": [None]}, "chat", "no choices"),
        ([], "task", "neither"),
        ([{"generated_text": " "}], "task", "empty text"),
        ([{"generated_text": None}], "task", "neither"),
        (b"[" * 500 + b"]" * 500, "chat", "broken JSON"),
        (b"[" * 100_000, "chat", "broken JSON"),
        (b"\xff\xfe\x00", "chat", "broken JSON"),
    ],
)
def test_a_200_that_is_no_answer_says_which(body: Any, api: Api, why: str) -> None:
    with pytest.raises(errors.HFBadAnswerError) as caught:
        read(body, api=api, headers={"retry-after": "5", "x-request-id": "r1"})
    assert why in str(caught.value)
    assert (caught.value.status_code, caught.value.hint_s, caught.value.request_id) == (200, None, "r1")
    assert not isinstance(caught.value, errors.HFWouldRepeatError)


# Refusals and other ends that would come again


def ended(finish_reason: Any, content: Any = None, **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **message}
    return chat_reply(choices=[{"index": 0, "message": message, "finish_reason": finish_reason}])


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": None}, **fields}]}


CUT_WORDS = (
    "FINISH_REASON_MAX_TOKENS", "FinishReason.MAX_TOKENS", "incomplete", "num_predict", "ERROR_LIMIT",
    "max_output_tokens", "model_length",
)  # fmt: skip
FILTER_WORDS = (
    "ERROR_TOXIC", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "RECITATION", "BLOCKLIST", "SPII",
    "FinishReason.SAFETY",
)  # fmt: skip
FILTERED = {"hate": {"filtered": True, "severity": "high"}, "violence": {"filtered": False, "severity": "safe"}}
CALL = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
CUT, TOOL = errors.HFMaxTokensError, errors.HFToolCallError
NO, FILTER = errors.HFRefusalError, errors.HFContentFilterError


@pytest.mark.parametrize(
    ("body", "api", "kind", "why"),
    [
        (ended("length", ""), "chat", CUT, "max_tokens"),
        (ended("length", "", reasoning_content="let me think"), "chat", CUT, "enable_thinking"),
        (ended("length", None, reasoning="let me think"), "chat", CUT, "--param max_tokens=4000"),
        (ended("length", " \n\n"), "chat", CUT, "empty content"),
        (ended("length", "<think>so the line"), "chat", CUT, "nothing but thinking"),
        (ended("length", "<think>so</think> "), "chat", CUT, "nothing but thinking"),
        (ended("length", "◁think▷so the line"), "chat", CUT, "nothing but thinking"),
        (ended("length", "<thought>so the line"), "chat", CUT, "nothing but thinking"),
        (ended("length", [{"type": "text", "text": ""}]), "chat", CUT, "max_tokens"),
        (ended("length", None, tool_calls=CALL), "chat", CUT, "max_tokens"),
        *((ended(one), "chat", CUT, "max_tokens") for one in ("max_tokens", "MAX_TOKENS", "model_length", "Length")),
        (chat_reply(choices=[{"message": {}, "finish_details": {"type": "max_tokens"}}]), "chat", CUT, "max_tokens"),
        ([{"generated_text": "", "details": {"finish_reason": "length"}}], "task", CUT, "max_tokens"),
        (ended("stop", None, refusal="I can't help."), "chat", NO, "declined (I can't help.)"),
        (ended("stop", "", refusal="No."), "chat", NO, "ask in other words"),
        (ended("length", None, refusal="No."), "chat", NO, "declined (No.)"),
        (ended("stop", "As an AI,", refusal="No."), "chat", NO, "declined (No.)"),
        (ended("stop", [{"type": "refusal", "refusal": "No."}]), "chat", NO, "declined (No.)"),
        (ended("refusal", "I won't."), "chat", NO, "declined (I won't.)"),
        (ended(None, None, refusal="No."), "chat", NO, "declined (No.)"),
        (ended("content_filter"), "chat", FILTER, "content filter"),
        (ended("content_filter", "The chart is"), "chat", FILTER, "after 'The chart is'"),
        (ended("content_filter", "", reasoning_content="Hm."), "chat", FILTER, "content filter"),
        *((ended(one), "chat", FILTER, "filter") for one in ("content-filter", "SAFETY", "contentFilter")),
        ({"error": {"message": "policy", "code": "content_filter", "type": "invalid"}}, "chat", FILTER, "policy"),
        *((ended(one), "chat", CUT, "max_tokens") for one in CUT_WORDS),
        (ended("stop", None, refusal={"message": "No."}), "chat", NO, "declined (No.)"),
        (ended("stop", None, refusal={"reason": "No."}), "chat", NO, "declined (No.)"),
        (ended("stop", None, refusal=True), "chat", NO, "without a word"),
        (choice(refusal="No.", finish_reason="stop"), "chat", NO, "declined (No.)"),
        (choice(finish_reason="stop", stop_reason="refusal"), "chat", NO, "without a word"),
        (choice(finish_reason="stop", native_finish_reason="SAFETY"), "chat", FILTER, "content filter"),
        (choice(native_finish_reason="content_filter"), "chat", FILTER, "content filter"),
        (choice(finish_reason="stop", native_finish_reason="max_tokens"), "chat", CUT, "max_tokens"),
        (choice(finish_reason="stop", content_filter_results=FILTERED), "chat", FILTER, "content filter"),
        ({**ended("stop"), "prompt_filter_results": [{"content_filter_results": FILTERED}]}, "chat", FILTER, "filter"),
        ({"choices": [], "prompt_filter_results": [{"content_filter_results": FILTERED}]}, "chat", FILTER, "filter"),
        *((ended(one), "chat", FILTER, "filter") for one in FILTER_WORDS),
        (ended("length", [{"type": "reasoning", "text": "Hm."}]), "chat", CUT, "nothing but thinking"),
        (ended("tool_calls", None, tool_calls=CALL), "chat", TOOL, "leave tools out"),
        (ended("stop", "", tool_calls=CALL), "chat", TOOL, "called a tool"),
        (ended("stop", "", tool_calls=CALL, reasoning="I look it up."), "chat", TOOL, "called a tool"),
        (ended("function_call", None, function_call={"name": "look"}), "chat", TOOL, "called a tool"),
        (ended("tool_use", None), "chat", TOOL, "called a tool"),
    ],
)  # fmt: skip
def test_what_would_come_out_the_same_is_an_error_of_its_own(
    body: Any, api: Api, kind: type[errors.HFAPIError], why: str
) -> None:
    with pytest.raises(errors.HFWouldRepeatError) as caught:
        read(body, api=api, headers={"x-request-id": "r1"})
    assert type(caught.value) is kind
    assert why in str(caught.value)
    assert (caught.value.status_code, caught.value.request_id) == (200, "r1")


@pytest.mark.parametrize(
    ("body", "text", "reason"),
    [
        (ended("length", "The trend is up because the pri"), "The trend is up because the pri", "length"),
        (ended("stop", "", reasoning_content="It is up."), "It is up.", "stop"),
        (ended("stop", None, reasoning="It is up."), "It is up.", "stop"),
        (ended("eos_token", " \n", reasoning_content=" It is up. "), "It is up.", "eos_token"),
        (ended(None, "", reasoning_content="It is up."), "It is up.", None),
        (ended("stop", "", reasoning_content="", reasoning="It is up."), "It is up.", "stop"),
        (ended("stop", [], reasoning_details=[{"text": "It is "}, {"text": "up."}]), "It is up.", "stop"),
        (ended("stop", "<think>a</think>", reasoning_content="It is up."), "It is up.", "stop"),
        (ended("stop", "", thinking_blocks=[{"type": "thinking", "thinking": "It is up."}]), "It is up.", "stop"),
        (ended("stop", "Up.", reasoning_content="Hm."), "Up.", "stop"),
        (ended("stop", "Up.", refusal="", tool_calls=[]), "Up.", "stop"),
        (ended("stop", "Up.", refusal=None, tool_calls=CALL), "Up.", "stop"),
        (ended("tool_calls", "Up.", tool_calls=CALL), "Up.", "tool_calls"),
        (ended("stop", [{"type": "thinking", "text": "Hm."}, {"type": "text", "text": "Up."}]), "Up.", "stop"),
        (ended("stop", [{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"text": "Up."}]), "Up.", "stop"),
        (ended("stop", [{"thought": True, "text": "Hm."}, {"text": "Up."}]), "Up.", "stop"),
        (ended("stop", [{"type": "reasoning", "text": "It is up."}]), "It is up.", "stop"),
        (ended("stop", None, reasoning_text="It is up."), "It is up.", "stop"),
        (ended("stop", None, reasoning={"content": "It is up."}), "It is up.", "stop"),
        (ended("stop", None, reasoning_details=[{"type": "x.summary", "summary": "It is up."}]), "It is up.", "stop"),
        (ended("stop", "Up.", refusal={"message": None}), "Up.", "stop"),
        *((ended(one, "The tr"), "The tr", one) for one in CUT_WORDS),
        (ended({"type": "length"}, "The tr"), "The tr", "length"),
        (choice(message={"content": "The tr"}, finish_reason="stop", native_finish_reason="MAX_TOKENS"), "The tr",
         "MAX_TOKENS"),
        (choice(message={"content": "Up."}, finish_reason="stop", stop_reason="error"), "Up.", "stop"),
        (choice(message={"content": "Up."}, finish_reason="stop", stop_reason=128009), "Up.", "stop"),
        (choice(message={"content": "Up."}, finish_reason="stop", content_filter_results={"hate": {"filtered": False}}),
         "Up.", "stop"),
        (choice(message=None, text="Up.", finish_reason="stop"), "Up.", "stop"),
        (choice(message=None, delta={"content": "Up."}, finish_reason="stop"), "Up.", "stop"),
        (chat_reply(choices=[*ended("stop", "")["choices"], *ended("stop", "Up.")["choices"]]), "Up.", "stop"),
    ],
)  # fmt: skip
def test_what_a_model_said_before_it_ended_by_itself_is_the_answer(body: Any, text: str, reason: str | None) -> None:
    answer = read(body)
    assert (answer.text, answer.finish_reason) == (text, reason)


def events(*pieces: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)


def piece(content: str | None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}]}


UP = json.dumps(ended("stop", "Up")).encode()


@pytest.mark.parametrize(
    "body",
    [
        events(ended("stop", "Up")),
        b": PROCESSING\n\n" + events(ended("stop", "Up")),
        events(piece(""), piece("U"), piece("p"), piece(None, "stop"), {"choices": [], "usage": {}}) + b"data: [DONE]",
        events(piece("U"), piece("p")) + b"data: [DONE]\n\n",
        b"\n".join(json.dumps(one).encode() for one in (piece("U"), piece("p", "stop"))),
        UP + b"\n" + json.dumps(ended("stop", "Down")).encode(),
        UP + UP,
        b"\xef\xbb\xbf" + UP,
        UP.decode().encode("utf-16"),
    ],
)
def test_what_was_paid_for_is_read_though_it_came_as_a_stream_or_twice(body: bytes) -> None:
    assert read(body).text == "Up"


def test_a_stream_that_broke_off_is_no_answer() -> None:
    with pytest.raises(errors.HFBadAnswerError, match="event stream"):
        read(events(piece("U"), piece("p")))


@pytest.mark.parametrize(
    ("content_type", "last"),
    [
        ("application/json; charset=ISO-8859-1", "\xe9"),
        ("application/json; charset=punycode", "\N{REPLACEMENT CHARACTER}"),
        ("", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_another_encoding_spoils_no_more_than_its_characters(content_type: str, last: str) -> None:
    body = json.dumps(chat_reply("caf\xe9"), ensure_ascii=False).encode("latin-1")
    assert read(body, headers={"Content-Type": content_type}).text == f"caf{last}"


def test_a_task_reply_tells_why_it_ended() -> None:
    body = [{"generated_text": "a chart that", "details": {"finish_reason": "length"}}]
    assert read(body, api="task").finish_reason == "length"


@pytest.mark.parametrize(
    "body",
    [ended("stop"), ended("stop", ""), ended(None, " "), ended("stop", "<think>so the line"), ended("error", "The tr")],
)
def test_what_may_go_better_the_next_time_is_asked_again(body: Any) -> None:
    with pytest.raises(errors.HFBadAnswerError) as caught:
        read(body)
    assert type(caught.value) is errors.HFBadAnswerError


# Anything else

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "choices", "content", "usage", "prompt_tokens", "generated_text", "answer",
                 "score", "detail", "estimated_time", "text", "code", "id", "finish_reason", "tool_calls",
                 "errors", "metadata", "raw", "base_resp", "status_code", "success", "retry_after", "refusal", "delta",
                 "reasoning", "thinking", "native_finish_reason", "content_filter_results", "filtered", "type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip
choices = st.lists(json_values, max_size=2).map(lambda value: {"choices": value})
bodies = (
    st.binary()
    | (json_values | choices).map(lambda value: json.dumps(value).encode())
    | st.lists(json_values | choices).map(lambda pieces: events(*pieces))
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
)  # fmt: skip
replies = st.dictionaries(
    st.sampled_from(
        [
            "Retry-After",
            "retry-after-ms",
            "RateLimit",
            "x-ratelimit-reset",
            "Date",
            "content-type",
            "location",
            "x-request-id",
            "X-Error-Message",
        ]
    ),
    st.text() | st.floats().map(str) | st.integers().map(str),
)


@given(
    st.integers(100, 999) | st.sampled_from([200, 400, 403, 429, 503]),
    replies,
    bodies,
    st.sampled_from(["chat", "task"]),
)
def test_no_reply_whatever_raises_anything_else(status: int, headers: dict[str, str], body: bytes, api: Api) -> None:
    try:
        answer = read_reply(status, headers, body, api=api)
    except errors.HFAPIError as raised:
        error = raised
    else:
        answer.text.encode()
        json.dumps(answer.raw, allow_nan=False)
        assert answer.text.strip()
        return
    assert str(error).isprintable()
    assert error.hint_s is None or 0 < error.hint_s <= MAX_HINT_S
