"""What a request asks, whichever of the API's bodies it came in."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

#: The bodies that the API takes.
Kind = Literal["chat", "visual-question-answering", "image-to-text", "text-generation"]

#: Of the classic API; an image stands there as base64 without a head.
_MODEL_ROUTE = re.compile(r"^(?:/v1|/hf-inference)?/models/(.+)$")
_CHAT_ROUTES = ("/v1/chat/completions", "/chat/completions")
_DATA_URI = re.compile(r"^data:[\w.+/-]*;base64,")
_IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")


class NotUnderstoodError(Exception):
    """The request can't be read; the API answers with this status and text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


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
    route = _MODEL_ROUTE.match(path)
    if path not in _CHAT_ROUTES and route is None:
        raise NotUnderstoodError(404, f"Not Found: {path}")
    try:
        body = json.loads(data)
        return _read_task(route[1], body, token) if route else _read_chat(body, token)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        message = f"Failed to deserialize the JSON body into the target type: {error!r}"
        raise NotUnderstoodError(422, message) from error


def _read_chat(body: dict[str, Any], token: str | None) -> ParsedRequest:
    parts = [part for message in body["messages"] for part in _parts(message["content"])]
    pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return ParsedRequest(
        kind="chat",
        model=body["model"],
        prompt=texts[-1] if texts else "",
        images=[_image(url) for url in pictures if not _is_web(url)],
        image_urls=list(filter(_is_web, pictures)),
        token=token,
        body=_without_images(body),
    )


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _image(encoded: str) -> bytes:
    return base64.b64decode(_DATA_URI.sub("", encoded), validate=True)


def _read_task(model: str, body: dict[str, Any], token: str | None) -> ParsedRequest:
    inputs, more = body["inputs"], {"model": model, "token": token, "body": _without_images(body)}
    if isinstance(inputs, dict):
        images = [_image(inputs["image"])]
        return ParsedRequest(kind="visual-question-answering", prompt=inputs["question"], images=images, **more)
    if _looks_like_image(inputs):
        return ParsedRequest(kind="image-to-text", images=[_image(inputs)], **more)
    return ParsedRequest(kind="text-generation", prompt=inputs, **more)


def _looks_like_image(text: str) -> bool:
    with suppress(ValueError):
        return bool(_DATA_URI.match(text)) or base64.b64decode(text[:16], validate=True).startswith(_IMAGE_STARTS)
    return False


def _without_images(value: Any) -> Any:
    """The same, with its images' texts replaced by their lengths."""
    if isinstance(value, dict):
        return {name: _without_images(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_images(inner) for inner in value]
    return f"<{len(value)} characters>" if isinstance(value, str) and _looks_like_image(value) else value
