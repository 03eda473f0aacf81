"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, whatever went wrong."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from jobs.broker.error_text import redis_trouble
from jobs.core.errors import (
    ChartqError,
    InputError,
    InstallationError,
    QueueError,
    SettingsError,
    StoreError,
    UnknownIdError,
)
from jobs.core.memory import out_of_memory
from jobs.core.text import encodable

log = logging.getLogger("chartq.server")

#: OpenAI's word for what the client has to mend, and for what it can't.
_CLIENTS, _SERVERS = "invalid_request_error", "server_error"

_STATUS_OF: tuple[tuple[type[ChartqError], int], ...] = (
    (UnknownIdError, 404),
    (InputError, 400),
    (SettingsError, 500),
    (InstallationError, 501),
)


#: What whoever runs the server has to mend. Clients are told no more: the sentences name hosts and paths.
_OPERATORS: tuple[tuple[type[Exception], str, str], ...] = (
    (RedisError, "Redis doesn't answer, or refuses", "redis_unavailable"),
    (QueueError, "this server's Redis belongs to another project, or can't be used", "unavailable"),
    (StoreError, "the results store can't be used", "unavailable"),
)


class Trouble:
    """What keeps requests from being served, told to the log once and not with each of them."""

    def __init__(self) -> None:
        self._told = ""

    def meet(self, error: Exception) -> None:
        if not any(isinstance(error, kind) for kind, _, _ in _OPERATORS):
            return
        sentence = redis_trouble(error)
        if sentence != self._told:
            self._told = sentence
            log.error("%s", sentence)

    def end(self) -> None:
        """All is well: the next one is news."""
        self._told = ""


class ApiError(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str | None = None,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}
        self.type, self.param, self.code = type_ or (_CLIENTS if status < 500 else _SERVERS), param, code

    def response(self) -> JSONResponse:
        # It may quote what can't be sent: halves of characters, bytes of odd file names.
        message = encodable(self.message) or HTTPStatus(500).phrase
        told = {"message": message, "type": self.type, "param": self.param, "code": self.code}
        return JSONResponse({"error": told}, self.status, self.headers)


def not_found(what: str) -> ApiError:
    """For what isn't there, and for what is another key's: the two look alike."""
    return ApiError(404, what, code="not_found")


def api_error(error: Exception) -> ApiError:
    """Any error as one that can be answered with."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return unfit(error.errors()[0], "the request")
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail), headers=dict(error.headers or {}))
    if (short := out_of_memory(error)) is not None:
        return ApiError(503, str(short), code="out_of_memory", headers={"Retry-After": "2"})
    for kind, what, code in _OPERATORS:
        if isinstance(error, kind):
            return ApiError(503, f"{what}: the server's log says more", code=code)
    if isinstance(error, ChartqError):
        status = next(status for kind, status in _STATUS_OF if isinstance(error, kind))
        return ApiError(status, str(error), code="not_found" if status == 404 else None)
    if isinstance(error, ClientDisconnect):
        return ApiError(400, "the client went away in the middle of its request", code="client_disconnected")
    return ApiError(500, "a fault in chartq, please report it; its log has the details", code="internal_error")


def answer_errors_of(app: FastAPI, chart_root: Path | None, trouble: Trouble) -> None:
    """Every error of the app's handlers leaves it in the one shape, and none tells where CHART_ROOT lies."""

    async def handle(_request: Request, error: Exception) -> JSONResponse:
        trouble.meet(error)
        answer = api_error(error)
        answer.message = below_root(answer.message, chart_root)
        return answer.response()

    for kind in (
        ApiError,
        ChartqError,
        MemoryError,
        RedisError,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
    ):
        app.add_exception_handler(kind, handle)


def below_root(message: str, chart_root: Path | None) -> str:
    """The message with paths as its reader names them: relative to CHART_ROOT."""
    if chart_root is None:
        return message
    return message.replace(f"{chart_root}/", "").replace(f" ({chart_root})", "").replace(str(chart_root), "CHART_ROOT")


def unknown(word: str, known: Sequence[str]) -> ApiError:
    """A word or field that a request doesn't have: misspelt it would leave out what was meant."""
    told = f"known are {', '.join(known)}" if known else "none is"
    return ApiError(400, f"{word[:100]!r} is not known here: {told}", param=word[:100])


def unfit(first: Mapping[str, Any], whole: str) -> ApiError:
    """The first thing that the `whole` lacks, or has too much of, as pydantic tells it."""
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(place) or None
    return ApiError(400, f"{param or whole}: {first['msg']}", param=param)
