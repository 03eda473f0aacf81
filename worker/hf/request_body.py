"""The JSON that is sent: chat completions, and the classic task bodies. Pure.

A body is a frame of JSON around the images, whose base64 is made piece by piece while it is sent; once they have been
sent, they are let go: a hundred calls that wait for their answers hold none. `model` comes first, since the
router reads only the start of a body to route it.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.core.parameters import refused_parameter
from jobs.submit.messages import with_urls
from worker.hf.errors import HFRequestError

#: Tokens that an answer may take when `parameters` don't say: a page of text, and an end to what a run costs.
DEFAULT_MAX_TOKENS = 1024

#: Names of the same limit: the classic API's, and the two of chat.
_LEGACY_LENGTHS = ("max_new_tokens", "max_length")
_LENGTHS = ("max_tokens", "max_completion_tokens")

#: Classic parameters with no meaning in chat, which strict servers refuse.
_CLASSIC_ONLY = ("return_full_text", "details", "do_sample", *_LEGACY_LENGTHS)

_MIME_BY_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}

#: No file of a picture is all this: base64 as `base64.b64encode` gives it, or a data URI.
_BASE64 = re.compile(rb"(?:\s*+data:[^,]*,)?[A-Za-z0-9+/_=\s-]+", re.I)

#: Bytes that hold every magic number above, WebP's and AVIF's.
_MAGIC_BYTES = 12

#: Bytes of an image that are encoded at a time; a multiple of three, so that no padding stands between two pieces.
#: Their base64 stays well below the size that our malloc takes new pages for (worker/engine/malloc.py): those of a
#: chart in one piece take as long as encoding and sending it.
_PIECE_BYTES = 3 * 10_000


class ImageToSend:
    """An image's bytes, made at once for the first time they are sent, and made anew for any further time.

    `make` gives the same bytes each time; what it raises goes through whoever sends them.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        ready = make()
        self._ready: bytes | None = ready
        self._size_bytes, self.mime = len(ready), sniff_mime(ready[:_MAGIC_BYTES])

    def __len__(self) -> int:
        return self._size_bytes

    def take(self) -> bytes:
        """The bytes; they are not kept here."""
        ready, self._ready = self._ready, None
        return self._make() if ready is None else ready


#: An image's bytes, its base64 text, or one that needn't be kept while the answer is waited for.
ImageInput = bytes | str | ImageToSend


@dataclass(frozen=True)
class ImageUrl:
    """An image that the provider fetches itself."""

    url: str


#: A picture of a chat: an image to send, or the URL of one that the provider fetches.
Picture = ImageToSend | str


@dataclass(frozen=True)
class Body:
    """JSON, and images that go out as base64: may be sent any number of times, its length is known beforehand."""

    parts: Sequence[bytes | ImageToSend]

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else 4 * ((len(part) + 2) // 3) for part in self.parts)

    def __iter__(self) -> Iterator[bytes]:
        """Pieces, each sent by itself: the JSON goes along with an image's first or last."""
        waiting = b""
        for part in self.parts:
            if isinstance(part, bytes):
                waiting += part
                continue
            image = memoryview(part.take())
            for start in range(0, len(image), _PIECE_BYTES):
                if start:
                    yield waiting
                    waiting = b""
                waiting += base64.b64encode(image[start : start + _PIECE_BYTES])
        yield waiting


def image_to_send(image: ImageInput) -> ImageToSend:
    """`image`, which may be base64 (text or bytes) or a data URI. Raises HFRequestError if it is neither, or empty."""
    if not isinstance(image, ImageToSend):
        found = _bytes_of(image)
        image = ImageToSend(lambda: found)
    if not len(image):
        raise HFRequestError("The image is empty")
    return image


def sniff_mime(start: bytes) -> str:
    """The type of an image by its first bytes; image/jpeg when they tell nothing."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "image/heic"
    return next((mime for magic, mime in _MIME_BY_MAGIC.items() if start.startswith(magic)), "image/jpeg")


def chat_body(
    *,
    model: str,
    prompt: str,
    pictures: Sequence[Picture],
    parameters: Mapping[str, Any] | None,
    messages: Sequence[Any] | None = None,
) -> Body:
    """One user message: the prompt, then the pictures; or `messages`, a picture in each of their image_url parts.

    An image goes as a data URI, a URL as it is. Raises HFRequestError.
    """
    head = b'{"model":%b,"messages":' % _json(model)
    tail = b"," + _json({**chat_parameters(parameters or {}), "stream": False})[1:]
    if not pictures:
        return Body([head + _json(messages or [{"role": "user", "content": prompt}]) + tail])
    slots = [{"type": "image_url", "image_url": {"url": ""}} for _ in pictures]
    parts: list[bytes | ImageToSend] = [head]
    between = _around_images(messages or [{"role": "user", "content": [{"type": "text", "text": prompt}, *slots]}])
    if len(between) != len(pictures) + 1:
        raise HFRequestError(f"The messages have {len(between) - 1} image_url parts for {len(pictures)} pictures")
    for json_before, picture in zip(between, pictures, strict=False):
        if isinstance(picture, str):
            parts.append(json_before + _json(picture)[1:-1])
        else:
            parts += [json_before + b"data:%b;base64," % picture.mime.encode(), picture]
    return Body([*parts, between[-1] + tail])


def task_body(*, task: str, prompt: str, image: ImageToSend | None, parameters: Mapping[str, Any] | None) -> Body:
    """The classic body of a task. An `image-to-text` model takes no prompt, so none is sent."""
    _check_parameters(parameters or {})
    rest = b',"parameters":%b}' % _json(dict(parameters or {}))
    if task == "text-generation":
        return Body([b'{"inputs":%b%b' % (_json(prompt), rest)])
    if image is None:
        raise HFRequestError(f"The task {task} needs an image")
    if task == "image-to-text":
        return Body([b'{"inputs":"', image, b'"' + rest])
    if task == "visual-question-answering":
        return Body([b'{"inputs":{"question":%b,"image":"' % _json(prompt), image, b'"}' + rest])
    raise HFRequestError(f"Unknown task: {task}")


def chat_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` as fields of a chat body: `extra_body` opened, the classic names translated."""
    _check_parameters(parameters)
    extra = parameters.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise HFRequestError("extra_body must be an object")
    given = {**{name: value for name, value in parameters.items() if name != "extra_body"}, **extra}
    fields = {name: value for name, value in given.items() if name not in (*_CLASSIC_ONLY, "stream")}
    if given.get("do_sample") is False:
        fields.setdefault("temperature", 0)
    if not any(fields.get(name) is not None for name in _LENGTHS):
        legacy = (given[name] for name in _LEGACY_LENGTHS if given.get(name) is not None)
        fields["max_tokens"] = next(legacy, DEFAULT_MAX_TOKENS)
    return fields


def _around_images(messages: Sequence[Any]) -> list[bytes]:
    """The messages as JSON, cut where the URLs of their images go: one piece more than there are images."""
    # No text in the messages can be the hash of these very messages.
    mark = hashlib.sha256(_json(messages)).hexdigest()
    return _json([with_urls(mark, message) for message in messages]).split(mark.encode())


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    given = {name: value for name, value in parameters.items() if not (name == "stream" and not value)}
    if (why := refused_parameter(given)) is not None:
        raise HFRequestError(why)


def _bytes_of(image: bytes | str) -> bytes:
    if isinstance(image, str):
        return _decoded(image)
    data = bytes(image)  # of whatever holds bytes: a bytearray, a memoryview
    return _decoded(data.decode()) if data.isascii() and _BASE64.fullmatch(data) else data


def _decoded(text: str) -> bytes:
    """The image in base64 `text`: without a data URI's head and white space, in either alphabet."""
    payload = text.partition(",")[2] if text.lstrip()[:5].lower() == "data:" else text
    payload = "".join(payload.split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True)
    except ValueError:
        raise HFRequestError("The image is neither bytes nor base64 text") from None


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as why:
        raise HFRequestError(f"The parameters are no JSON: {why}") from None
