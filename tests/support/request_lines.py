"""Lines of a requests file, built with the openai package's types."""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openai.types.chat import ChatCompletionContentPartImageParam, ChatCompletionMessageParam
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

MODEL = "org/model"


def data_uri(picture: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(picture).decode()}"


def image_part(url: str) -> ChatCompletionContentPartImageParam:
    return {"type": "image_url", "image_url": {"url": url}}


def ask(text: str, url: str) -> list[ChatCompletionMessageParam]:
    """What `-p` sends: a text, then the picture."""
    return [{"role": "user", "content": [{"type": "text", "text": text}, image_part(url)]}]


def body(messages: Iterable[ChatCompletionMessageParam], model: str = MODEL) -> CompletionCreateParamsNonStreaming:
    return {"model": model, "messages": messages, "max_tokens": 50}


def request(name: str, asked: Mapping[str, Any], /, **changes: Any) -> str:
    """A line; a field that is changed to `...` is left out."""
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": asked, **changes}
    return json.dumps({name: value for name, value in line.items() if value is not ...})


def write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path
