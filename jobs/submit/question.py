"""From what somebody typed to a question: prompt, model, parameters, checked before anything is written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from jobs.config.settings import Settings
from jobs.core.errors import InputError
from jobs.core.job import MESSAGES, Question, canonical_json, is_model_id
from jobs.core.parameters import refused_parameter
from jobs.core.text import strict_json
from jobs.schemas import SchemaSource, ask_for, schema_in

#: Characters of the longest prompt: beyond it something else was pasted, and providers refuse the body.
MAX_PROMPT_CHARS = 200_000

#: Pixels of the smallest picture that is worth a question.
MIN_SIDE = 16

#: And of a picture as it is sent, at most.
MAX_SIDE = 100_000


def make_question(
    settings: Settings,
    *,
    prompt: str | None,
    model: str | None,
    parameters: Mapping[str, Any],
    schema: SchemaSource | None = None,
    max_side: int | None = None,
    with_image: bool = True,
) -> Question:
    """The question of a submit. Raises InputError naming what is wrong with prompt, model, parameters or schema.

    `max_side`: pixels of a picture's longer side, instead of IMAGE_MAX_SIDE.
    """
    limits = picture_limits(settings, max_side) if with_image else {}
    chosen = check_model(model or settings.vision_model)
    if schema is not None:
        if settings.hf_api == "task":
            raise InputError("--schema needs HF_API=chat: the classic task bodies have no response_format")
        prompt, parameters = ask_for(schema, prompt=prompt, parameters=parameters)
    _check_parameters(parameters)
    _check_schema(parameters)
    task = settings.hf_task if settings.hf_api == "task" and with_image else None
    # Captioning models take no prompt: it is no part of the question because none is sent.
    text = "" if task == "image-to-text" else _checked_prompt(prompt or "")
    return Question(prompt=text, model=chosen, parameters=dict(parameters), api=settings.hf_api, task=task, **limits)


class PictureLimits(TypedDict, total=False):
    """The limits of the picture, as Question's fields; empty for a question without one."""

    image_max_side: int
    image_max_bytes: int


def picture_limits(settings: Settings, max_side: int | None = None) -> PictureLimits:
    """What pictures are reduced to before they are sent, as the settings have it; `max_side` wins over them."""
    return {"image_max_side": max_side or settings.image_max_side, "image_max_bytes": settings.image_max_bytes}


def stage_question(
    settings: Settings,
    *,
    template: str | None,
    model: str | None,
    parameters: Mapping[str, Any],
    schema: SchemaSource | None = None,
    with_image: bool = False,
    max_side: int | None = None,
) -> Question:
    """What is asked about each answer of another batch, its prompt still a template. Raises InputError.

    REASONING_MODEL answers, or with the picture VISION_MODEL, unless `model` says otherwise.
    """
    if with_image and (settings.hf_api, settings.hf_task) == ("task", "image-to-text"):
        raise InputError("HF_TASK=image-to-text: captioning models refuse a prompt; leave --with-image out")
    return make_question(
        settings,
        prompt=template,
        model=model or (settings.vision_model if with_image else settings.reasoning_model),
        parameters=parameters,
        schema=schema,
        max_side=max_side,
        with_image=with_image,
    )


def chat_question(
    *,
    prompt: str,
    model: str,
    parameters: Mapping[str, Any],
    messages: Sequence[Any] | None,
    limits: PictureLimits | None,
) -> Question:
    """The question of a chat request; `messages`: what is sent in the prompt's place. Raises InputError.

    `limits`: of its pictures; None if it has none that we send.
    """
    _check_parameters(parameters)
    asked = dict(parameters) if messages is None else {**parameters, MESSAGES: messages}
    told = _as_json(asked if messages else [prompt, asked], "the messages")
    if len(told) > MAX_PROMPT_CHARS:
        raise InputError(f"it has {len(told):,} characters beside the picture; at most {MAX_PROMPT_CHARS:,} are taken")
    return Question(prompt=_encodable(prompt), model=check_model(model), parameters=asked, **(limits or {}))


def read_prompt_file(path: Path) -> str:
    """The prompt in a file, without the final newline and a byte order mark. Raises InputError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            prompt = file.read(MAX_PROMPT_CHARS + 2).removesuffix("\n")  # no more: it may be a film
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"the prompt file {str(path)!r} can't be read as UTF-8 text: {why}") from error
    if len(prompt) > MAX_PROMPT_CHARS:
        raise InputError(f"the prompt file {str(path)!r} has more than {MAX_PROMPT_CHARS:,} characters")
    return prompt


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """`K=V` pairs; V is JSON where it is JSON (`0.2`, `true`, `{"a": 1}`), else a string. Raises InputError."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--param {pair!r}: write NAME=VALUE, as in --param max_tokens=300")
        if name.strip() in parameters:
            raise InputError(f"--param {name.strip()} is there twice: which one is meant?")
        parameters[name.strip()] = _value(value)
    return parameters


def _value(text: str) -> Any:
    try:
        return strict_json(text)
    except (ValueError, RecursionError):  # NaN and Infinity stay words
        return text


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    if (why := refused_parameter(parameters)) is not None:
        raise InputError(why)
    _as_json(dict(parameters), "parameters")


def _as_json(value: Any, what: str) -> str:
    try:
        told = canonical_json(value)
        told.encode()
    except (TypeError, ValueError, RecursionError) as error:  # a UnicodeEncodeError is a ValueError
        raise InputError(f"{what} must be JSON values in UTF-8: {error}") from error
    return told


def _check_schema(parameters: Mapping[str, Any]) -> None:
    """A schema that no answer can be checked against is refused here, before a call is paid for."""
    schema = schema_in(parameters)
    if schema is not None:
        from jobs.schemas.validator import Checker  # its library takes 0.1 s to load, and few questions need it

        Checker(schema)


def check_model(model: str) -> str:
    """The model's id as it is. Raises InputError if it can be none."""
    if not is_model_id(model):
        raise InputError(f"{model!r} is no model id: write it as on its page, org/name or org/name:provider")
    return model


def _checked_prompt(text: str) -> str:
    if not text.strip():
        raise InputError("the prompt is empty: give one with -p or --prompt-file")
    if len(text) > MAX_PROMPT_CHARS:
        raise InputError(f"the prompt has {len(text):,} characters; at most {MAX_PROMPT_CHARS:,} are taken")
    return _encodable(text)


def _encodable(text: str) -> str:
    if "\0" in text:
        raise InputError("the prompt has a NUL character: is the prompt file text?")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"the prompt is not valid UTF-8 at character {error.start}: retype it") from error
    return text
