"""What a request asks, whichever of the API's bodies it came in."""

import base64
import binascii
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

#: The bodies that the API takes.
Kind = Literal["chat", "visual-question-answering", "image-to-text", "text-generation"]

#: Of the classic API.
_MODEL_ROUTE = re.compile(r"^(?:/v1|/hf-inference)?/models/(.+)$")
_CHAT_ROUTES = ("/v1/chat/completions", "/chat/completions")
_DATA_URI = re.compile(r"^data:[\w.+/-]*;base64,")
_IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_IMAGE_KEYS = frozenset({"image", "image_url"})


class NotUnderstoodError(Exception):
    """The request can't be read; the API answers with this status and text."""

    def __init__(self, status: int, message: str, *, plain: bool = False) -> None:
        super().__init__(message)
        self.status = status
        #: Sent as text/plain, as TGI does, and not as JSON.
        self.plain = plain


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    """One question to one model."""

    kind: Kind
    model: str
    prompt: str = ""
    images: Sequence[bytes] = field(default=(), repr=False)
    #: Pictures that a provider would fetch. The stand-in fetches nothing.
    image_urls: Sequence[str] = ()
    token: str | None = field(default=None, repr=False)
    #: The body without the image's bytes.
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """The model without its `:provider` suffix, as replies name it."""
        return self.model.partition(":")[0]

    @property
    def image(self) -> bytes | None:
        """The first picture that came along."""
        return self.images[0] if self.images else None

    @property
    def image_sha256(self) -> str | None:
        """Of the picture; of several, one after the other."""
        return ",".join(hashlib.sha256(image).hexdigest() for image in self.images) or None

    @property
    def token_fingerprint(self) -> str | None:
        return None if self.token is None else hashlib.sha256(self.token.encode()).hexdigest()[:12]

    def image_header(self) -> tuple[tuple[int, int] | None, str | None]:
        """Size and format, from the image's first bytes only."""
        if self.image is None:
            return None, None
        try:
            with Image.open(io.BytesIO(self.image)) as image:
                return image.size, image.format
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None, None


def read_request(path: str, data: bytes, token: str | None) -> ParsedRequest:
    """Read a POST. Raises NotUnderstoodError as the API would answer."""
    if path in _CHAT_ROUTES:
        return _read_chat(_read_json(data), token)
    route = _MODEL_ROUTE.match(path)
    if route is None:
        raise NotUnderstoodError(404, f"Not Found: {path}")
    return _read_task(route[1], _read_json(data), token)


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError as error:
        message = f"Failed to parse the request body as JSON: {error}"
        raise NotUnderstoodError(400, message, plain=True) from error
    if not isinstance(body, dict):
        raise _not_deserialized("expected a map")
    return body


def _not_deserialized(what: str) -> NotUnderstoodError:
    message = f"Failed to deserialize the JSON body into the target type: {what}"
    return NotUnderstoodError(422, message, plain=True)


def _read_chat(body: dict[str, Any], token: str | None) -> ParsedRequest:
    messages = body.get("messages")
    if messages is None:
        raise _not_deserialized("missing field `messages`")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise _not_deserialized("messages: invalid type, expected a sequence of maps")
    if not messages:
        raise NotUnderstoodError(422, "Input validation error: `messages` cannot be empty")
    prompt = ""
    images: list[bytes] = []
    urls: list[str] = []
    for message in messages:
        for part in _parts(message.get("content")):
            if isinstance(part.get("text"), str):
                prompt = part["text"]
            if part.get("type") == "image_url":
                image = _image_of(part)
                if isinstance(image, str):
                    urls.append(image)
                else:
                    images.append(image)
    return ParsedRequest(
        kind="chat",
        model=str(body.get("model") or "unnamed"),
        prompt=prompt,
        images=images,
        image_urls=urls,
        token=token,
        body=_without_image(body),
    )


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [part for part in content if isinstance(part, dict)]
    return []


def _image_of(part: dict[str, Any]) -> bytes | str:
    image_url = part.get("image_url")
    url = image_url.get("url") if isinstance(image_url, dict) else image_url
    if not isinstance(url, str):
        raise _not_deserialized("messages: image_url: missing field `url`")
    if url.startswith(("http://", "https://")):
        return url
    if not _DATA_URI.match(url):
        raise NotUnderstoodError(422, "Input validation error: image_url is neither a URL nor a data URI")
    return _decode(url.partition(",")[2])


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotUnderstoodError(400, "Error in `inputs`: Invalid image: bad base64") from error


def _read_task(model: str, body: dict[str, Any], token: str | None) -> ParsedRequest:
    inputs, clean = body.get("inputs"), _without_image(body)
    if isinstance(inputs, dict) and "question" in inputs:
        if not isinstance(inputs.get("image"), str):
            raise NotUnderstoodError(400, "Error in `inputs.image`: field required")
        image = _decode(_DATA_URI.sub("", inputs["image"]))
        prompt = str(inputs["question"])
        kind: Kind = "visual-question-answering"
        return ParsedRequest(kind=kind, model=model, prompt=prompt, images=[image], token=token, body=clean)
    if not isinstance(inputs, str):
        wrong = "field required" if inputs is None else f"Invalid image: {inputs}"
        raise NotUnderstoodError(400, f"Error in `inputs`: {wrong}")
    if not _looks_like_image(inputs):
        return ParsedRequest(kind="text-generation", model=model, prompt=inputs, token=token, body=clean)
    if "prompt" in (body.get("parameters") or {}):
        message = "The following `model_kwargs` are not used by the model: ['prompt']"
        raise NotUnderstoodError(400, message)
    image = _decode(_DATA_URI.sub("", inputs))
    return ParsedRequest(kind="image-to-text", model=model, images=[image], token=token, body=clean)


def _looks_like_image(text: str) -> bool:
    if _DATA_URI.match(text):
        return True
    try:
        start = base64.b64decode(text[:16], validate=True)
    except (binascii.Error, ValueError):
        return False
    return start.startswith(_IMAGE_STARTS)


def _without_image(value: Any, key: str = "") -> Any:
    """The same, with its images' texts replaced by their lengths."""
    if isinstance(value, dict):
        return {name: _without_image(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_image(inner, key) for inner in value]
    if isinstance(value, str) and (
        value.startswith("data:") or key in _IMAGE_KEYS or (key == "inputs" and _looks_like_image(value))
    ):
        return f"<{len(value)} characters>"
    return value
