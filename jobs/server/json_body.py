"""JSON bodies, read by hand: bounded, and with errors that say what to mend."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from jobs.core.text import strict_json
from jobs.server.errors import ApiError, unfit, unknown
from jobs.server.plain_body import check_plain

_KINDS = {"json": "application/json", "form": "multipart/form-data"}

M = TypeVar("M", bound=BaseModel)


async def json_object(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises ApiError."""
    check_plain(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _KINDS["json"]:
        raise ApiError(415, "send JSON, with Content-Type: application/json", param="content-type")
    return parsed(await request.body())


def parsed(body: bytes) -> dict[str, Any]:
    """Raises ApiError."""
    try:
        value = strict_json(body)
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None
    except ValueError as error:  # no UTF-8 among them
        raise ApiError(400, f"the body is no JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body is no JSON object")
    return value


def fitting(model: type[M], value: dict[str, Any]) -> M:
    """The value as a model. Raises ApiError naming the first field that it doesn't know, or that doesn't fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        if odd := [one for one in errors if one["type"] == "extra_forbidden"]:
            raise unknown(str(odd[0]["loc"][-1]), names_of(model)) from None
        raise unfit(errors[0], "the body") from None


def filled(model: type[BaseModel], texts: Mapping[str, str]) -> dict[str, Any]:
    """A form's texts: what is empty is not given, unless the model doesn't know it at all."""
    names = names_of(model)
    return {name: text for name, text in texts.items() if text.strip() or name not in names}


def names_of(model: type[BaseModel]) -> list[str]:
    """Of its fields, as they are sent."""
    return [field.alias or name for name, field in model.model_fields.items()]


def body_of(**models: type[BaseModel]) -> dict[str, Any]:
    """For `openapi_extra`: the body of a request that its handler reads itself, as `json` or as a `form`."""
    content = {_KINDS[kind]: {"schema": model.model_json_schema()} for kind, model in models.items()}
    return {"requestBody": {"required": True, "content": content}}
