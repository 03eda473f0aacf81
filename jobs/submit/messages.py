"""The messages of a chat request: which picture is asked about, and what has to be kept of the rest. Pure.

One user message of a text and then a picture is what `-p` sends: no more than the prompt is kept of it, so that
both are the same job. Anything else, a system message, earlier turns, several texts, the picture first, is kept as
it is, with a place for the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.core.errors import InputError

#: Stands where the picture's URL was in messages that are kept.
IMAGE_SLOT = "{chart}"


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What a request's messages say."""

    #: For people: the text of the last user message.
    prompt: str
    image_url: str
    #: The messages, IMAGE_SLOT in their picture's stead; None if the prompt says it all.
    messages: list[Any] | None


def read_messages(messages: Any) -> Conversation:
    """Raises InputError: these are no chat messages, or they don't ask about exactly one picture."""
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise InputError('"messages" is no list of chat messages: [{"role": "user", "content": [...]}]')
    url = _only_image([part for message in messages for part in _parts(message) if part.get("type") == "image_url"])
    prompt = next((_text(message) for message in reversed(messages) if message["role"] == "user"), "")
    plain = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
    if prompt.strip() and messages == [{"role": "user", "content": plain}]:
        return Conversation(prompt=prompt, image_url=url, messages=None)
    return Conversation(prompt=prompt, image_url=url, messages=[_kept(message) for message in messages])


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) for part in content)
    return content is None or isinstance(content, str)


def _parts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif content is not None:
        yield from content


def _only_image(images: list[dict[str, Any]]) -> str:
    if not images:
        raise InputError("there is no picture in it: add an image_url part with a data URI, a file:// URL or a path")
    if len(images) > 1:
        raise InputError(f"there are {len(images)} pictures in it; one is asked about at a time: make a line for each")
    image_url = images[0].get("image_url")
    url = image_url.get("url") if isinstance(image_url, dict) else None
    if not isinstance(url, str) or not url:
        raise InputError('the image_url part has no URL: write {"type": "image_url", "image_url": {"url": "..."}}')
    return url


def _text(message: dict[str, Any]) -> str:
    """A message's texts; several are several paragraphs."""
    texts = [part["text"] for part in _parts(message) if isinstance(part.get("text"), str)]
    return "\n\n".join(texts)


def _kept(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_kept_part(part) for part in content]}


def _kept_part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") != "image_url":
        return part
    return {**part, "image_url": {**part["image_url"], "url": IMAGE_SLOT}}
