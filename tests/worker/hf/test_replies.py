"""Every shape of reply that Hugging Face and its providers have been seen to send, and any other bytes."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hf_server import chat_reply

from jobs.core.job import Api
from worker.hf import errors
from worker.hf.replies import Answer, hint_s, read_reply, without_thinking
from worker.hf.retry_hints import MAX_HINT_S

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def read(body: Any, *, status: int = 200, headers: dict[str, str] | None = None, api: Api = "chat") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(status, headers or {}, data, api=api, now=NOW)


def failure(body: Any, status: int, headers: dict[str, str] | None = None) -> errors.HFAPIError:
    with pytest.raises(errors.HFAPIError) as caught:
        read(body, status=status, headers=headers)
    return caught.value


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
        ({"error": {"message": "no GPU", "code": 500}}, "task", "no GPU"),
        ({"choices": []}, "chat", "no choices"),
        ({"detail": "nothing"}, "chat", "no choices (nothing)"),
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
        (ended("stop", "Up.", reasoning_content="Hm."), "Up.", "stop"),
        (ended("stop", "Up.", refusal="", tool_calls=[]), "Up.", "stop"),
        (ended("stop", "Up.", refusal=None, tool_calls=CALL), "Up.", "stop"),
        (ended("tool_calls", "Up.", tool_calls=CALL), "Up.", "tool_calls"),
        (chat_reply(choices=[*ended("stop", "")["choices"], *ended("stop", "Up.")["choices"]]), "Up.", "stop"),
    ],
)
def test_what_a_model_said_before_it_ended_by_itself_is_the_answer(body: Any, text: str, reason: str | None) -> None:
    answer = read(body)
    assert (answer.text, answer.finish_reason) == (text, reason)


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


# Errors


QUOTA = "You exceeded your current quota, please check your plan and billing details."
CREDITS, RATE = errors.HFCreditsError, errors.HFRateLimitError


@pytest.mark.parametrize(
    ("status", "error", "headers", "kind"),
    [
        (429, {"message": QUOTA, "type": "insufficient_quota", "code": "insufficient_quota"}, {}, CREDITS),
        (429, {"message": "no", "code": "insufficient_quota"}, {"Retry-After": "20"}, CREDITS),
        (429, QUOTA, {}, CREDITS),
        (429, {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"}, {}, CREDITS),
        (429, {"message": "x", "type": "billing_not_active"}, {}, CREDITS),
        (429, "You have reached your monthly usage limit", {}, CREDITS),
        (429, "Monthly spending limit exceeded", {}, CREDITS),
        (403, "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys", {}, CREDITS),
        (403, "API key's spending limit reached", {}, CREDITS),
        (429, "Quota exceeded for this month", {}, CREDITS),
        (403, "You have exceeded your monthly included credits", {}, CREDITS),
        (403, "Insufficient credits", {}, CREDITS),
        (400, "Your credit balance is too low to access the API", {}, CREDITS),
        (200, {"message": QUOTA, "code": "insufficient_quota"}, {}, CREDITS),
        (429, QUOTA + " Please retry in 20s.", {}, RATE),
        (429, "Quota exceeded for requests per minute: try again in 20s", {}, RATE),
        (429, QUOTA, {"Retry-After": "7"}, RATE),
        (429, "Quota exceeded for requests per minute", {}, RATE),
        (429, "API key rate limit exceeded", {}, RATE),
        (429, "Key limit exceeded", {}, RATE),
        (429, "Rate limit reached. You reached free usage limit (reset hourly). Please subscribe to a plan", {}, RATE),
        (429, {"message": "Rate limit reached for tokens", "code": "rate_limit_exceeded"}, {}, RATE),
        (429, "", {}, RATE),
        (500, QUOTA, {}, errors.HFServerError),
    ],
)
def test_what_is_used_up_is_told_from_what_only_takes_time(
    status: int, error: Any, headers: dict[str, str], kind: type[errors.HFAPIError]
) -> None:
    assert type(failure({"error": error}, status, headers)) is kind


WAF = b"<html><title>Attention Required! | Cloudflare</title></html>"


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (403, WAF, {"content-type": "text/html"}, errors.HFBlockedError),
        (403, WAF, {}, errors.HFBlockedError),
        (403, b"\xef\xbb\xbf \n<!-- x --><HTML>Access Denied</HTML>", {}, errors.HFBlockedError),
        (403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", {}, errors.HFBlockedError),
        (403, b"Access Denied", {"Content-Type": "text/html; charset=utf-8"}, errors.HFBlockedError),
        (403, b"", {"Content-Type": "text/html"}, errors.HFBlockedError),
        (403, b"error code: 1020", {"Content-Type": "text/plain"}, errors.HFBlockedError),
        (401, b"<html><title>Proxy login</title></html>", {}, errors.HFBlockedError),
        (407, b"", {}, errors.HFBlockedError),
        (511, b"<html>Log in to the guest network</html>", {}, errors.HFBlockedError),
        (403, {"error": "accept the terms"}, {"content-type": "text/html"}, errors.HFGatedModelError),
        (403, {"error": "<b>accept</b> the terms"}, {}, errors.HFGatedModelError),
        (401, {"error": "Invalid username or password."}, {}, errors.HFAuthenticationError),
        (404, b"<html><title>404 Not Found</title></html>", {}, errors.HFModelNotFoundError),
        (429, b"<html><title>Slow down</title></html>", {}, errors.HFRateLimitError),
    ],
)
def test_a_page_is_a_firewalls_and_not_the_models(
    status: int, body: Any, headers: dict[str, str], kind: type[errors.HFAPIError]
) -> None:
    assert type(failure(body, status, headers)) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "x", "code": "model_not_supported"}}, errors.HFModelNotFoundError),
        (400, {"error": {"message": "x", "code": "model_not_found"}}, errors.HFModelNotFoundError),
        (400, {"error": "Model not supported by provider hf-inference"}, errors.HFModelNotFoundError),
        (400, {"error": "The requested model 'a/b' is not supported by any provider"}, errors.HFModelNotFoundError),
        (400, {"error": ["Error in `inputs`: Invalid image: {}"]}, errors.HFRequestError),
        (400, b"", errors.HFRequestError),
        (401, {"error": "Invalid username or password."}, errors.HFAuthenticationError),
        (402, {"error": "You have depleted your monthly included credits."}, errors.HFCreditsError),
        (403, {"error": "This token does not have sufficient permissions to call"}, errors.HFPermissionError),
        (403, {"error": "accept the terms"}, errors.HFGatedModelError),
        (404, {"error": "Not Found: Model not found"}, errors.HFModelNotFoundError),
        (405, b"Method Not Allowed", errors.HFModelNotFoundError),
        (408, b"", errors.HFServerError),
        (410, {"error": "no longer supported"}, errors.HFModelNotFoundError),
        (413, b"Payload Too Large", errors.HFRequestError),
        (418, b"teapot", errors.HFRequestError),
        (422, {"error": "Template error", "error_type": "template_error"}, errors.HFRequestError),
        (424, {"error": "Request failed during generation"}, errors.HFServerError),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, errors.HFRateLimitError),
        (500, {"error": "unknown error", "warnings": ["w"]}, errors.HFServerError),
        (502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", errors.HFServerError),
        (503, {"error": "Model a/b is currently loading", "estimated_time": 20.0}, errors.HFModelLoadingError),
        (503, {"error": "wait", "estimated_time": 20.0}, errors.HFModelLoadingError),
        (503, {"error": "unhealthy", "error_type": "healthcheck"}, errors.HFServerError),
        (504, b"<h1>504</h1><p>Gateway Timeout</p>", errors.HFServerError),
        (302, b"", errors.HFModelNotFoundError),
        (101, b"", errors.HFServerError),
        (999, b"", errors.HFServerError),
    ],
)  # fmt: skip
def test_each_status_is_its_error(status: int, body: Any, kind: type[errors.HFAPIError]) -> None:
    error = failure(body, status)
    assert type(error) is kind
    assert error.status_code == status
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        ({"error": "in a string"}, {}, "in a string"),
        ({"error": ["in", "a list"]}, {}, "in; a list"),
        ({"error": {"message": "in an object", "type": "t"}}, {}, "in an object"),
        ({"error": json.dumps({"error": {"message": "in a string in a string"}})}, {}, "in a string in a string"),
        ({"message": "in message"}, {}, "in message"),
        ({"detail": "in detail"}, {}, "in detail"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, {}, "field required"),
        ({"error_description": "in error_description"}, {}, "in error_description"),
        ({"error": None, "message": "beside null"}, {}, "beside null"),
        ({"error": "{not json"}, {}, "{not json"),
        (b"plain text", {"content-type": "text/plain"}, "plain text"),
        (b"<html><head><title>Gateway &amp; Timeout</title></head></html>", {}, "Gateway & Timeout"),
        (b"", {"X-Error-Message": "in a header"}, "in a header"),
        ({}, {}, "no reason"),
        (b"", {}, "no reason"),
        (b"\xff\xfe", {}, "("),
    ],
)  # fmt: skip
def test_the_servers_words_are_found_in_every_form(body: Any, headers: dict[str, str], words: str) -> None:
    assert words in str(failure(body, 500, headers))


def test_words_are_clipped_to_one_clean_line() -> None:
    said = str(failure({"error": "a\n\x1b[31m\x00 " + "x" * 10_000}, 500))
    assert len(said) == errors.MAX_MESSAGE_CHARS
    assert said.isprintable()


def test_a_redirect_names_where_to_without_secrets() -> None:
    error = failure(b"", 307, {"Location": "https://u:secret@other.example/v1?token=secret"})
    assert "https://other.example/v1" in str(error)
    assert "secret" not in str(error)


def test_errors_pickle_with_all_they_know() -> None:
    headers = {"retry-after": "9", "x-request-id": "r", "x-inference-provider": "p"}
    error = failure({"error": "slow down"}, 429, headers)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.HFRateLimitError
    assert str(copy) == str(error)
    assert vars(copy) == vars(error) == {
        "status_code": 429, "hint_s": 9.0, "request_id": "r", "provider": "p",
    }  # fmt: skip


# Hints


@pytest.mark.parametrize(
    ("headers", "body", "expected_s"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({"retry-after": " 1.5 "}, {}, 1.5),
        ({"Retry-After": "2, 2"}, {}, 2.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT"}, {}, 90.0),
        ({"Retry-After": "Fri, 20 Nov 2026 11:00:00 GMT"}, {}, None),
        ({"Retry-After": "Fri, 20 Nov 2026 11:01:30 GMT", "Date": "Fri, 20 Nov 2026 11:00:00 GMT"}, {}, 90.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT", "Date": "now"}, {}, 90.0),
        ({"Retry-After": "-5"}, {}, None),
        ({"Retry-After": "0"}, {}, None),
        ({"Retry-After": "nan"}, {}, None),
        ({"Retry-After": "inf"}, {}, None),
        ({"Retry-After": "1e9"}, {}, None),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": "٣"}, {}, None),
        ({"Retry-After": "86400"}, {}, MAX_HINT_S),
        ({"Retry-After": "9" * 400}, {}, None),
        ({"Retry-After": "Fri, 20 Nov 9999999 11:00:00 GMT"}, {}, None),
        ({"retry-after-ms": "250"}, {}, 0.25),
        ({"Retry-After": "-1", "retry-after-ms": "250"}, {}, 0.25),
        ({"RateLimit": '"api";r=0;t=52'}, {}, 52.0),
        ({"RateLimit": '"api";r=3;t=52'}, {}, None),
        ({"RateLimit": '"a";r=0;t=5, "b";r=0;t=60, "c";r=9;t=900'}, {}, 60.0),
        ({"RateLimit": ";;r;=0,t"}, {}, None),
        ({}, {"error": "Please try again in 149.8ms."}, 0.1498),
        ({}, {"error": "try again in 2s"}, 2.0),
        ({}, {"error": "Try again in 1m"}, 60.0),
        ({}, {"error": "Try again in 1m30s"}, 90.0),
        ({}, {"error": "try again in 2 minutes"}, 120.0),
        ({}, {"error": "retry after 5 seconds"}, 5.0),
        ({}, {"error": "try again in a while"}, None),
        ({}, {"error": "loading", "estimated_time": 53.37}, 53.37),
        ({}, {"error": {"message": "loading", "estimated_time": 20}}, 20.0),
        ({}, {"error": "loading", "estimated_time": "20.5"}, 20.5),
        ({}, {"error": "loading", "estimated_time": float("nan")}, None),
        ({}, {"error": "loading", "estimated_time": -3}, None),
        ({"Retry-After": "3"}, {"error": "try again in 9s", "estimated_time": 20}, 3.0),
        ({}, {"error": "try again in 9s", "estimated_time": 20}, 9.0),
    ],
)  # fmt: skip
def test_hints_in_every_form_best_first(headers: dict[str, str], body: Any, expected_s: float | None) -> None:
    found = hint_s(429, headers, json.dumps(body), now=NOW)
    assert found == (expected_s if expected_s is None else pytest.approx(expected_s))


@pytest.mark.parametrize(("status", "counts"), [(200, False), (400, False), (402, False), (429, True), (503, True)])
def test_hints_count_on_429_and_5xx_only(status: int, counts: bool) -> None:
    assert hint_s(status, {"Retry-After": "5"}, b"", now=NOW) == (5.0 if counts else None)


# Anything else

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "choices", "content", "usage", "prompt_tokens", "generated_text", "answer",
                 "score", "detail", "estimated_time", "text", "code", "id", "finish_reason", "tool_calls"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip
bodies = st.binary() | json_values.map(lambda value: json.dumps(value).encode()) | st.text().map(
    lambda text: text.encode("utf-8", "surrogatepass")
)  # fmt: skip
replies = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "RateLimit", "location", "x-request-id", "X-Error-Message"]),
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
