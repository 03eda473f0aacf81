"""The API's refusals, in the words and shapes that were seen on the live service."""

import math
from collections.abc import Mapping
from typing import Any

from worker.rehearsal.behaviour import Hints
from worker.rehearsal.reply import HTML, PLAIN, Reply, error_reply, json_reply
from worker.rehearsal.request_parser import ParsedRequest

_CREDITS = (
    "You have depleted your monthly included credits. Purchase pre-paid credits to continue using Inference "
    "Providers. Alternatively, subscribe to PRO to get 20x more included usage."
)
_PERMISSION = "This authentication method does not have sufficient permissions to call Inference Providers"
_GATED = "You cannot access this model unless the model owner gives you access, by accepting the terms."

#: `error` is a string, a list or an object, and sometimes the text stands elsewhere: clients meet them all.
_JSON_BODIES: Mapping[int, Any] = {
    400: {"error": {"message": "Invalid request", "type": "invalid_request_error", "param": None, "code": None}},
    401: {"error": "Invalid credentials in Authorization header"},
    402: {"error": _CREDITS},
    403: {"error": _GATED},
    404: {"error": "Not Found: Model not found"},
    408: {"error": "Request timed out", "error_type": "timeout"},
    410: {"error": "This address is no longer supported. Please use https://router.huggingface.co instead."},
    424: {"error": "Request failed during generation: rehearsal", "error_type": "generation"},
    429: {"error": "Rate limit reached. You reached free usage limit."},
    500: {"error": {"message": "Internal server error", "type": "server_error", "param": None, "code": None}},
}
_PLAIN_BODIES = {
    413: "Failed to buffer the request body: length limit exceeded",
    422: "Failed to deserialize the JSON body into the target type: rehearsal",
}
#: Gateways answer in HTML.
_HTML_STATUSES = (502, 503, 504)
#: Statuses on which a fault's hint is sent along.
_HINTED_STATUSES = (429, 503)


def refuse(fault: int | str, asked: ParsedRequest, *, hints: Hints, wait_s: float) -> Reply:
    """The refusal for a status or for one of the refusals that have a name."""
    if fault == "throttled":
        fault = 429
    if isinstance(fault, int):
        return _by_status(fault, hints, wait_s)
    if fault == "loading":
        message = f"Model {asked.model_id} is currently loading"
        return json_reply({"error": message, "estimated_time": round(wait_s, 3)}, 503)
    if fault == "overloaded":
        return json_reply({"error": "Model is overloaded", "error_type": "overloaded"}, 429)
    if fault == "unsupported":
        return _unsupported(asked)
    return json_reply({"error": _PERMISSION if fault == "permission" else _GATED}, 403)


def _by_status(status: int, hints: Hints, wait_s: float) -> Reply:
    headers = hint_headers(hints, wait_s) if status in _HINTED_STATUSES else {}
    if status in _PLAIN_BODIES:
        return Reply(status, _PLAIN_BODIES[status].encode(), PLAIN)
    if status in _HTML_STATUSES:
        return Reply(status, f"<h1>{status}</h1><p>rehearsal</p>".encode(), HTML, headers)
    body = _JSON_BODIES.get(status, {"error": f"rehearsed status {status}"})
    if status == 429 and hints == "message":
        body = {"error": f"{body['error']} Please try again in {math.ceil(wait_s * 10) / 10:g}s."}
    return json_reply(body, status, headers)


def _unsupported(asked: ParsedRequest) -> Reply:
    if asked.kind != "chat":
        return json_reply(_JSON_BODIES[404], 404)
    message = f"The requested model '{asked.model}' is not supported by any provider you have enabled."
    return error_reply(400, message, "model_not_supported")


def hint_headers(hints: Hints, wait_s: float) -> dict[str, str]:
    """The wait as headers. Whole seconds are rounded up: who obeys must not come too early."""
    if hints == "retry-after":
        return {"Retry-After": str(math.ceil(wait_s))}
    if hints == "retry-after-ms":
        return {"retry-after-ms": str(math.ceil(wait_s * 1000))}
    return {}
