"""Which error a reply is: by its status, or by its codes and words, whatever status it came with."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from support.hf_server import chat_reply

from worker.hf import errors
from worker.hf.replies import read_reply

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def failure(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> errors.HFAPIError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(errors.HFAPIError) as caught:
        read_reply(status, headers or {}, data, api="chat", now=NOW)
    return caught.value


# By status, page and words


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
        *((403, one, {}, errors.HFBlockedError) for one in (b"Forbidden", b"RBAC: access denied", b"403 Forbidden\n")),
        (403, {"message": "Forbidden"}, {}, errors.HFBlockedError),
        (403, {"title": "Error 1010: Access denied by Cloudflare"}, {}, errors.HFBlockedError),
        (403, {"message": "Model access denied."}, {}, errors.HFGatedModelError),
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


# By codes and words

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
        (429, [{"code": "insufficient_quota"}], {}, CREDITS),
        (429, json.dumps({"error": {"type": "insufficient_quota"}}), {}, CREDITS),
        (429, {"metadata": {"raw": json.dumps({"error": {"code": "insufficient_quota"}})}, "code": 429}, {}, CREDITS),
        (429, {"message": "Provider returned error", "metadata": {"raw": QUOTA}}, {}, CREDITS),
        (429, "Error code: 429 - {'error': {'code': 'insufficient_quota'}}", {}, CREDITS),
        (429, "You have exceeded your current quota", {}, CREDITS),
        (429, {"message": "Budget has been exceeded!", "type": "budget_exceeded"}, {}, CREDITS),
        (400, {"message": "Max budget: 0.5", "type": "budget_exceeded", "code": "400"}, {}, CREDITS),
        (400, {"code": "Arrearage", "message": "Access denied"}, {}, CREDITS),
        (401, {"message": QUOTA, "type": "insufficient_quota", "code": 401}, {}, CREDITS),
        (403, {"code": "AllocationQuota.FreeTierOnly", "message": "x"}, {}, CREDITS),
        (429, {"message": "Your account is suspended", "type": "exceeded_current_quota_error"}, {}, CREDITS),
        (403, "Your newly created team doesn't have any credits yet.", {}, CREDITS),
        (412, "Your account is suspended, possibly due to reaching the monthly spending limit", {}, CREDITS),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", {}, CREDITS),
        (429, QUOTA, {"Retry-After": "86400"}, CREDITS),
        (429, QUOTA, {"x-ratelimit-reset-requests": "8s", "x-ratelimit-remaining-requests": "99"}, CREDITS),
        (429, {"message": QUOTA, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34s"}]}, {}, RATE),
        (429, {"message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"}, {}, RATE),
        (429, "You have exceeded your requests per minute quota", {}, RATE),
        (429, "You have exceeded your plan's rate limit of 60 requests per minute", {}, RATE),
        (429, {"message": QUOTA, "details": [{"violations": [{"quotaId": "RequestsPerMinutePerProject"}]}]}, {}, RATE),
        (429, {"message": "x", "code": "quota_exceeded"}, {}, CREDITS),
        (429, {"message": "x", "code": "quota_exceeded"}, {"Retry-After": "9"}, RATE),
        (429, {"message": "Kontingent erschöpft", "code": "quota_exhausted"}, {}, CREDITS),
        (429, {"message": "Guthaben aufgebraucht", "code": "balance_exhausted"}, {}, CREDITS),
        (429, "Account balance is zero. Please top up.", {}, CREDITS),
        (429, "Insufficient tokens in your account balance", {}, CREDITS),
        (429, "Hard limit reached, please check your billing", {}, CREDITS),
        (429, "Your free trial has ended", {}, CREDITS),
        (429, {"message": "rate quota exhausted", "code": "rate_quota_exhausted"}, {}, RATE),
        (429, {"message": "x", "code": "requests_per_minute_quota_exhausted"}, {}, RATE),
        (429, "Load balance is not possible: no upstream", {}, RATE),
        (429, "Quota exceeded for metric: generate_content_free_tier_requests, limit: 15", {}, RATE),
        (429, "Daily quota exceeded", {}, RATE),
        (403, {"message": "user quota is not enough", "code": "insufficient_user_quota"}, {}, CREDITS),
        (403, "Out of call volume quota. Quota will be replenished in 10.00:02:16", {}, CREDITS),
        (429, {"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded"}, {}, RATE),
        (429, "You are using a Trial key, which is limited to 10 API calls / minute.", {}, RATE),
    ],
)
def test_what_is_used_up_is_told_from_what_only_takes_time(
    status: int, error: Any, headers: dict[str, str], kind: type[errors.HFAPIError]
) -> None:
    assert type(failure({"error": error}, status, headers)) is kind


@pytest.mark.parametrize(
    "body",
    [b"insufficient_quota", b"You have exceeded your current quota", [{"error": {"code": "insufficient_quota"}}],
     {"errors": [{"code": "insufficient_quota"}]}, {"detail": {"code": "insufficient_quota"}},
     {"detail": "insufficient_quota"}, json.dumps({"error": {"code": "insufficient_quota"}})],
)  # fmt: skip
def test_it_may_stand_anywhere_in_the_reply(body: Any) -> None:
    assert type(failure(body, 429)) is CREDITS


FILTERED = {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "x"}
MODERATED = "Your input was flagged for violence. No credits were charged."


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FILTERED, 400),
        ({"innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "x"}, 400),
        ({"code": "content_policy_violation", "message": "x"}, 400),
        ({"code": "data_inspection_failed", "message": "x"}, 400),
        ({"message": MODERATED, "code": 403, "metadata": {"reasons": ["violence"]}}, 403),
        ({"code": "content_filter", "message": "x"}, 200),
    ],
)
def test_what_a_filter_refused_would_be_refused_again(error: Any, status: int) -> None:
    error = failure({"error": error}, status)
    assert type(error) is errors.HFContentFilterError
    assert "ask in other words" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, RATE),
        ("429", RATE),
        ("rate_limit_exceeded", RATE),
        ("RESOURCE_EXHAUSTED", RATE),
        (401, errors.HFAuthenticationError),
        ("invalid_api_key", errors.HFAuthenticationError),
        (402, CREDITS),
        ("insufficient_quota", CREDITS),
        (403, errors.HFBlockedError),
        (404, errors.HFModelNotFoundError),
        ("model_not_found", errors.HFModelNotFoundError),
        (413, errors.HFRequestError),
        (502, errors.HFServerError),
        (503, errors.HFServerError),
        ("overloaded_error", errors.HFServerError),
        ("odd", errors.HFErrorReplyError),
        (7, errors.HFErrorReplyError),
        (None, errors.HFErrorReplyError),
    ],
)
def test_an_error_within_a_200_counts_as_if_its_code_were_the_status(code: Any, kind: type[errors.HFAPIError]) -> None:
    error = {"message": "it said so", "code": code}
    failed = {"message": {"content": "The tr"}, "error": error, "finish_reason": "error"}
    for body in ({"error": error}, {"errors": [error]}, [{"error": error}], error, {"choices": [failed]}):
        found = failure(body)
        assert type(found) is kind
        assert "it said so" in str(found)
        assert found.status_code == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "Rate limit exceeded, try again in 5s"}, RATE),
        ({"error": "Model a/b is currently loading", "estimated_time": 20}, errors.HFModelLoadingError),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, RATE),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, CREDITS),
        ({"base_resp": {"status_code": 2013, "status_msg": "odd"}}, errors.HFErrorReplyError),
        ({"object": "error", "message": "odd"}, errors.HFErrorReplyError),
        ({"success": False, "message": "odd"}, errors.HFErrorReplyError),
        ({"detail": "odd"}, errors.HFErrorReplyError),
        ({"message": "odd"}, errors.HFErrorReplyError),
        ({"errors": ["odd"]}, errors.HFErrorReplyError),
        ({"error": ["odd"]}, errors.HFErrorReplyError),
        ({"status": 401, "title": "Unauthorized"}, errors.HFAuthenticationError),
        ({"error": True}, errors.HFBadAnswerError),
        (b'data: {"error": {"code": 429, "message": "x"}}\n\n', RATE),
    ],
)
def test_errors_within_a_200_are_found_in_every_form(body: Any, kind: type[errors.HFAPIError]) -> None:
    assert type(failure(body)) is kind


def test_a_hint_beside_an_error_within_a_200_counts() -> None:
    assert failure({"error": {"code": 429, "message": "x"}}, headers={"Retry-After": "7"}).hint_s == 7


@pytest.mark.parametrize(
    "nothing",
    [{"error": None}, {"error": {"message": None, "code": None}}, {"error": {"code": "0", "message": "success"}},
     {"error": "null"}, {"base_resp": {"status_code": "0", "status_msg": "success"}}, {"error": {"code": 200}},
     {"error": {"code": 0, "message": ""}}, {"error": {}},
     {"error": False, "success": True}, {"errors": [], "detail": None, "message": ""},
     {"base_resp": {"status_code": 0, "status_msg": ""}}],
)  # fmt: skip
def test_an_answer_beside_an_error_that_is_none_is_the_answer(nothing: dict[str, Any]) -> None:
    reply = json.dumps({**chat_reply("Up."), **nothing}).encode()
    assert read_reply(200, {}, reply, api="chat").text == "Up."


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]},
         errors.HFAuthenticationError),
        (403, {"message": "x", "code": "rate_limit_exceeded"}, RATE),
        (403, {"message": "no access to it", "code": "model_not_found"}, errors.HFModelNotFoundError),
        (413, {"message": "Request too large for tokens per minute", "code": "rate_limit_exceeded"},
         errors.HFRequestError),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, RATE),
        (400, {"message": "It was", "code": "model_decommissioned"}, errors.HFModelNotFoundError),
        (400, {"message": "a/b is not a valid model ID", "code": 400}, errors.HFModelNotFoundError),
        (429, {"message": "Request too large for tokens per min", "code": "rate_limit_exceeded"},
         errors.HFRequestError),
        (500, {"message": "image input is not supported - hint: mmproj", "code": 500}, errors.HFRequestError),
        (501, {"message": "not implemented"}, errors.HFRequestError),
        (500, {"message": "CUDA out of memory"}, errors.HFServerError),
        (403, {"Message": "no", "Code": "InsufficientBalance"}, CREDITS),
        (403, {"message": "It requires billing", "details": [{"reason": "BILLING_DISABLED"}]}, CREDITS),
        (498, {"message": "capacity exceeded"}, RATE),
        (499, {"message": "closed"}, errors.HFServerError),
    ],
)  # fmt: skip
def test_a_code_says_more_than_a_vague_status(status: int, error: Any, kind: type[errors.HFAPIError]) -> None:
    assert type(failure({"error": error}, status)) is kind


ECHO = "1 validation error for ChatCompletionRequest: input_value='{}'"


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Failed to fetch image: 403 access_denied", "code": "invalid_image_url"},
        {"message": "image not found in request", "code": "not_found"},
        {"message": "could not download image", "details": {"code": 404}},
        {"message": "could not download image", "details": {"status": 429}, "code": "invalid_image_url"},
        {"message": "cannot identify image file '/tmp/rate_limit_chart.png'"},
        {"message": "cannot identify image file unauthorized_trades.png"},
        {"message": [{"type": "extra_forbidden", "loc": ["body", "foo"], "msg": "Extra inputs are not permitted"}]},
        {"message": "missing_key in dict", "code": "invalid_token_count"},
        {"message": ECHO.format("Is there any sign that consumer credit is up?"), "code": 400},
        {"message": ECHO.format("When was the spending limit reached?"), "type": "BadRequestError"},
        {"message": "token budget exceeded for this request"},
        {"message": "image count quota exceeded for this request"},
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_about_this_question_is_its_own_fault_whatever_words_it_has(status: int, error: Any) -> None:
    assert type(failure({"error": error}, status)) is errors.HFRequestError


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "Your plan's concurrency limit has been reached"}, RATE),
        (429, {"message": "Plan limit reached, slow down"}, RATE),
        (429, {"message": "Credit limit exceeded, please navigate to billing", "type": "credit_limit"}, CREDITS),
        (429, "You have reached your specified API usage limits. You will regain access on 2027-01-01", CREDITS),
        (400, "You have reached your specified API usage limits. You will regain access on 2027-01-01", CREDITS),
        (500, "unsupported operand type(s) for +: 'NoneType' and 'int'", errors.HFServerError),
        (500, "CUDA error: operation not supported on this device", errors.HFServerError),
        (500, "image input is not supported - hint: you may need to provide the mmproj", errors.HFRequestError),
        (
            403,
            {"message": "Country not supported", "code": "unsupported_country_region_territory"},
            errors.HFBlockedError,
        ),
        (403, {"message": "<html><title>Blocked</title></html>"}, errors.HFBlockedError),
        (403, "Request blocked by security policy. Incident ID: 123", errors.HFBlockedError),
        (403, "Just a moment...", errors.HFBlockedError),
        (403, "Your IP 192.0.2.1 is not whitelisted", errors.HFBlockedError),
        (403, "Public access is disabled. Please configure private endpoint.", errors.HFBlockedError),
        (403, "API key was reported as leaked", errors.HFAuthenticationError),
        (403, "Your account has been suspended", errors.HFAuthenticationError),
        (403, "The token lacks inference.serverless.write", errors.HFPermissionError),
        (403, "Access to model org/x is restricted", errors.HFGatedModelError),
        (200, {"message": "maximum context length", "code": "context_length_exceeded"}, errors.HFRequestError),
        (200, {"message": "wrong", "type": "BadRequestError"}, errors.HFRequestError),
    ],
)
def test_words_count_for_what_they_say(status: int, error: Any, kind: type[errors.HFAPIError]) -> None:
    assert type(failure({"error": error}, status)) is kind


@pytest.mark.parametrize(
    "side",
    [
        {"error": "no error"},
        {"error": {"code": 0, "type": "none", "message": "No error"}},
        {"error": {"code": 0.0, "message": ""}},
        {"choices": [None, {"message": {"content": "up", "refusal": 0.0}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "up", "refusal": "N/A"}, "finish_reason": "stop"}]},
    ],
)
def test_what_stands_there_for_no_error_and_no_refusal_loses_no_answer(side: dict[str, Any]) -> None:
    body = json.dumps(chat_reply("up") | side).encode()
    assert read_reply(200, {}, body, api="chat", now=NOW).text == "up"


@pytest.mark.parametrize(
    ("choices", "kind"),
    [
        ([{"message": {"content": ""}, "finish_reason": "content_policy_violation"}], errors.HFContentFilterError),
        ([{"message": {"content": ""}, "finish_reason": "moderation"}], errors.HFContentFilterError),
        ([], errors.HFContentFilterError),
    ],
)
def test_a_filter_by_other_names_is_one(choices: list[Any], kind: type[errors.HFAPIError]) -> None:
    feedback = {} if choices else {"promptFeedback": {"blockReason": "SAFETY"}}
    assert type(failure({"choices": choices, **feedback})) is kind


@pytest.mark.parametrize(("content", "text"), [(42, "42"), ({"trend": "up"}, '{"trend": "up"}')])
def test_a_number_or_an_object_is_an_answer(content: Any, text: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
    assert read_reply(200, {}, body, api="chat", now=NOW).text == text


@pytest.mark.parametrize(
    ("deltas", "kind"),
    [
        (
            [{"delta": {"tool_calls": [{"id": "1"}]}}, {"delta": {}, "finish_reason": "tool_calls"}],
            errors.HFToolCallError,
        ),
        ([{"delta": {}, "finish_reason": "content_filter"}], errors.HFContentFilterError),
    ],
)
def test_a_stream_without_text_says_why(deltas: list[Any], kind: type[errors.HFAPIError]) -> None:
    stream = "".join(f"data: {json.dumps({'choices': [delta]})}\n\n" for delta in deltas) + "data: [DONE]\n\n"
    assert type(failure(stream.encode(), 200, {"content-type": "text/event-stream"})) is kind
