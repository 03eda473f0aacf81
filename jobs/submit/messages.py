"""The messages of a chat request: which pictures are asked about, and what has to be kept of the rest. Pure.

One user message of a text and then the pictures is what `-p` sends: no more than the prompt is kept of it, so that
both are the same job. Anything else, a system message, earlier turns, several texts, a picture first, is kept as
it is, with a slot for each picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.core.errors import InputError

#: Pictures of one request; providers refuse more, or far fewer.
MAX_PICTURES = 64

#: Stands where a picture's URL was in messages that are kept.
IMAGE_SLOT = "{chart}"


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What a request's messages say."""

    #: For people: the text of the last user message.
    prompt: str
    #: In the order in which they are shown; none for text alone.
    image_urls: list[str]
    #: The messages, IMAGE_SLOT in each picture's stead; None if the prompt says it all.
    messages: list[Any] | None


def read_messages(messages: Any) -> Conversation:
    """Raises InputError: these are no chat messages, or they ask nothing."""
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise InputError('"messages" is no list of chat messages: [{"role": "user", "content": [...]}]')
    urls = [_url(part) for message in messages for part in _parts(message) if part.get("type") == "image_url"]
    if len(urls) > MAX_PICTURES:
        raise InputError(f"there are {len(urls)} pictures in it; at most {MAX_PICTURES} are taken")
    prompt = next((_text(message) for message in reversed(messages) if message["role"] == "user"), "")
    if not urls and not prompt.strip():
        raise InputError("it asks nothing: neither a text nor a picture is in its user messages")
    if prompt.strip() and messages in ([{"role": "user", "content": one}] for one in _plain(prompt, urls)):
        return Conversation(prompt=prompt, image_urls=urls, messages=None)
    return Conversation(prompt=prompt, image_urls=urls, messages=[with_urls(IMAGE_SLOT, one) for one in messages])


def _plain(prompt: str, urls: list[str]) -> list[Any]:
    """The contents that say no more than the prompt and the pictures."""
    parts = [{"type": "text", "text": prompt}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
    return [parts] if urls else [prompt, parts]


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


def _url(part: dict[str, Any]) -> str:
    image_url = part.get("image_url")
    url = image_url.get("url") if isinstance(image_url, dict) else None
    if not isinstance(url, str) or not url:
        raise InputError('the image_url part has no URL: write {"type": "image_url", "image_url": {"url": "..."}}')
    return url


def _text(message: dict[str, Any]) -> str:
    """A message's texts; several are several paragraphs."""
    texts = [part["text"] for part in _parts(message) if isinstance(part.get("text"), str)]
    return "\n\n".join(texts)


def with_urls(url: str, message: dict[str, Any]) -> dict[str, Any]:
    """The message, this in the place of each picture's URL."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [
        {**part, "image_url": {**part["image_url"], "url": url}} if part.get("type") == "image_url" else part
        for part in content
    ]
    return {**message, "content": parts}
