"""How long a server asks to be left alone, in every form that servers have been seen to use."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.hf.retry_hints import asked_s

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
NONSENSE: tuple[Any, ...] = (-5, 0, True, "soon", None, [5], {})


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
        ({"Retry-After": "86400"}, {}, 86400.0),
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
        ({"Retry-After": "7s"}, {}, 7.0),
        ({"Retry-After": "1m30s"}, {}, 90.0),
        ({"Retry-After": '"5"'}, {}, 5.0),
        ({"Retry-After": "2d"}, {}, 172800.0),
        ({"Retry-After": "-3s"}, {}, None),
        ({"Retry-After": "5 apples"}, {}, None),
        ({"Retry-After": "2026-11-20T12:01:30Z"}, {}, 90.0),
        ({"Retry-After": "2026-11-20T13:01:30.5+01:00"}, {}, 90.5),
        ({"Retry-After": "2026-11-20T11:01:30Z"}, {}, None),
        ({"Retry-After": "2026-11-20T11:01:30Z", "Date": "Fri, 20 Nov 2026 11:00:00 GMT"}, {}, 90.0),
        ({"Retry-After": f"{EPOCH + 34}"}, {}, 34.0),
        ({"Retry-After": f"{EPOCH + 34}", "Date": "Fri, 20 Nov 2026 12:00:04 GMT"}, {}, 30.0),
        ({"Retry-After": f"{EPOCH + 34}000"}, {}, 34.0),
        ({"Retry-After": f"{EPOCH - 34}"}, {}, None),
        ({"retry-after-ms": "250ms"}, {}, 0.25),
        ({"x-ratelimit-reset": "12"}, {}, 12.0),
        ({"x-ratelimit-reset": f"{EPOCH + 34}"}, {}, 34.0),
        ({"x-ratelimit-reset": f"{EPOCH + 34}000"}, {}, 34.0),
        ({"x-ratelimit-reset": "2026-11-20T12:00:20Z"}, {}, 20.0),
        ({"x-ratelimit-reset": "-4"}, {}, None),
        ({"X-RateLimit-Reset-Requests": "1m30s"}, {}, 90.0),
        ({"x-ratelimit-reset-tokens": "250ms"}, {}, 0.25),
        ({"ratelimit-reset": "9"}, {}, 9.0),
        ({"x-ratelimit-reset-requests": "9h", "x-ratelimit-remaining-requests": "5",
          "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, {}, 360.0),
        ({"x-ratelimit-reset-requests": "8s", "x-ratelimit-remaining-requests": "5"}, {}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-20T12:00:20Z"}, {}, 20.0),
        ({"x-ratelimit-reset": "12"}, {"error": "try again in 2s"}, 2.0),
        ({}, {"retry_after": 12}, 12.0),
        ({}, {"retryAfter": "12"}, 12.0),
        ({}, {"error": {"retry_after": 12.5}}, 12.5),
        ({}, {"error": {"metadata": {"retry_after": "12"}}}, 12.0),
        ({}, {"parameters": {"retry_after": 12}}, 12.0),
        ({}, {"error": {"retry_after_ms": 1500}}, 1.5),
        ({}, {"error": json.dumps({"error": {"retry_after": 12}})}, 12.0),
        *(({}, {"retry_after": one}, None) for one in NONSENSE),
        ({}, {"error": {"details": [{"@type": "x"}, {"retryDelay": "34s"}]}}, 34.0),
        ({}, [{"error": {"details": [{"retryDelay": {"seconds": "34"}}]}}], 34.0),
        ({}, {"error": {"metadata": {"headers": {"X-RateLimit-Reset": f"{EPOCH + 34}000"}}}}, 34.0),
        ({}, {"error": "Please try again in 12.5s"}, 12.5),
        ({}, {"error": "Please wait 12 seconds"}, 12.0),
        ({}, {"error": "Please wait for 2 minutes"}, 120.0),
        ({}, {"error": "Please retry your request after 10s."}, 10.0),
        ({}, {"error": "Your limit resets in 5 minutes"}, 300.0),
        ({}, {"error": "Try again in 1 minute and 5 seconds"}, 65.0),
        ({}, {"error": "It will reset at 2026-11-20T12:01:30Z."}, 90.0),
        ({}, {"error": "Retry 3 of 5. Wait 4s"}, 4.0),
        ({}, {"error": "I await 5 s"}, None),
        ({}, {"error": "try again in 9s", "estimated_time": 20}, 9.0),
    ],
)  # fmt: skip
def test_hints_in_every_form_best_first(headers: dict[str, str], body: Any, expected_s: float | None) -> None:
    found = asked_s(429, headers, json.dumps(body), now=NOW)
    assert found == (expected_s if expected_s is None else pytest.approx(expected_s))


@pytest.mark.parametrize(("status", "counts"), [(200, False), (400, False), (402, False), (429, True), (503, True)])
def test_hints_count_on_429_and_5xx_only(status: int, counts: bool) -> None:
    assert asked_s(status, {"Retry-After": "5"}, b"", now=NOW) == (5.0 if counts else None)


def test_a_limits_reset_is_no_hint_where_no_limit_is_the_reason() -> None:
    assert asked_s(503, {"x-ratelimit-reset": "12"}, b"", now=NOW) is None


@pytest.mark.parametrize("worst", ["wait 1s,", "try again in 1", "1 s and ", "retry after 2026-", "9", "wait "])
def test_its_time_is_linear_whatever_comes(worst: str) -> None:
    text = (worst * 1_000_000)[:1_000_000]
    started = time.process_time()
    asked_s(429, {"Retry-After": text, "x-ratelimit-reset": text}, json.dumps({"error": text}), now=NOW)
    assert time.process_time() - started < 2
