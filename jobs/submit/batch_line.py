"""One line of a requests file, as the OpenAI Batch API takes them, and what of it is a question. Pure.

Shape: https://platform.openai.com/docs/api-reference/batch/request-input
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.charts.links import is_https
from jobs.core.errors import InputError
from jobs.core.job import Question
from jobs.core.text import strict_json
from jobs.submit.messages import read_messages
from jobs.submit.question import PictureLimits, chat_question

_URL = "/v1/chat/completions"

#: Characters of the longest custom_id: what every store keeps in an index.
_MAX_ID_CHARS = 512

#: Characters of a wrong value that are repeated to the user.
_SHOWN_CHARS = 80


class RequestError(InputError):
    """A line that is no request; `code` and `param` as OpenAI's validation has them."""

    def __init__(self, message: str, *, code: str = "invalid_request", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A request that can be made, if its pictures can be read."""

    custom_id: str
    question: Question
    #: Of its pictures, in their order: a data URI, a file:// or https:// URL, or a path. Empty: text alone.
    image_urls: Sequence[str]


def parse_request(line: bytes, *, model: str | None = None, limits: PictureLimits | None = None) -> ChatRequest:
    """The request in a line; `model` is asked instead of its own. Raises InputError saying what to mend."""
    request = _object(line)
    custom_id = _custom_id(request.get("custom_id"))
    if request.get("method") != "POST":
        raise RequestError(f'"method" is {shown(request.get("method"))}: write "POST"', param="method")
    if request.get("url") != _URL:
        message = f'"url" is {shown(request.get("url"))}: only "{_URL}" is taken'
        raise RequestError(message, code="invalid_url", param="url")
    body = request.get("body")
    if not isinstance(body, dict):
        raise InputError(f'"body" is {shown(body)}: write the request\'s JSON object there, model and messages')
    question, image_urls = read_chat_body(body, model=model, limits=limits)
    return ChatRequest(custom_id=custom_id, question=question, image_urls=image_urls)


def read_chat_body(
    body: dict[str, Any], *, limits: PictureLimits | None, model: str | None = None
) -> tuple[Question, Sequence[str]]:
    """What the body of a chat request asks, and the URLs of its pictures. Raises InputError saying what to mend.

    `limits`: of the pictures that we send; those that the provider fetches have none.
    """
    _check_single_answer(body)
    conversation = read_messages(body.get("messages"))
    question = chat_question(
        prompt=conversation.prompt,
        model=model or _model(body.get("model")),
        parameters=_parameters(body),
        messages=conversation.messages,
        limits=None if all(map(is_https, conversation.image_urls)) else limits,
    )
    return question, conversation.image_urls


def shown(value: Any) -> str:
    """A wrong value as JSON for a message, cut where it is long."""
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value if not isinstance(value, str) else value[: _SHOWN_CHARS + 1])
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _object(line: bytes) -> dict[str, Any]:
    try:
        request = strict_json(line)
    except RecursionError:
        raise RequestError(
            "it is nested too deeply: a request has a handful of levels", code="invalid_json_line"
        ) from None
    except UnicodeDecodeError as error:
        message = f"it is no UTF-8 at byte {error.start + 1}: save the file as UTF-8"
        raise RequestError(message, code="invalid_json_line") from None
    except json.JSONDecodeError as error:
        raise RequestError(
            f"it is no JSON at character {error.pos + 1} ({error.msg}): write one object a line",
            code="invalid_json_line",
        ) from None
    except ValueError as error:  # NaN, or an integer of more digits than Python reads
        raise RequestError(f"it is no JSON: {str(error)[:_SHOWN_CHARS]}", code="invalid_json_line") from None
    if not isinstance(request, dict):
        raise RequestError(f"it is {shown(request)}, not an object with custom_id, method, url and body")
    return request


def _custom_id(custom_id: Any) -> str:
    if not isinstance(custom_id, str) or not custom_id:
        raise InputError(f'"custom_id" is {shown(custom_id)}: give every request a name of its own, as text')
    if len(custom_id) > _MAX_ID_CHARS:
        raise InputError(f'"custom_id" has {len(custom_id):,} characters: at most {_MAX_ID_CHARS} are taken')
    if "\0" in custom_id or any("\ud800" <= char <= "\udfff" for char in custom_id):
        raise InputError(f'"custom_id" is {shown(custom_id)}: NUL and halves of characters are not taken')
    return custom_id


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is asked for whatever the body says; some clients send `stream_options` as null beside no stream."""
    ours = {"model", "messages", "stream", "n"}
    if body.get("stream_options") is None:
        ours.add("stream_options")
    return {name: value for name, value in body.items() if name not in ours}


def _check_single_answer(body: dict[str, Any]) -> None:
    if body.get("stream"):
        raise InputError('"stream" is on: leave it out, a batch has whole answers')
    if body.get("n") not in (None, 1):
        raise InputError(f'"n" is {shown(body["n"])}: a chart has one answer, leave it out')


def _model(model: Any) -> str:
    if not isinstance(model, str) or not model:
        raise InputError(f'"model" is {shown(model)}: name one in the body, or one for all requests with -m')
    return model
