"""Our client against a server that we didn't write: llmock plays the provider and judges the caller."""

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from PIL import Image

from worker.hf_client import HFConfig, HFRequestError, HuggingFaceClient, create_vision_client

MODEL = "Qwen/Qwen3-VL-30B-A3B-Instruct"


def chart() -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def client(llmock: LLMock) -> Iterator[HuggingFaceClient]:
    """Patient enough for two failures, quick enough for a test."""
    config = HFConfig(
        api_key="hf_xxx", model_id=MODEL, base_url=llmock.base_url("openai"), timeout=10, max_retries=2, retry_delay=0.1
    )
    with HuggingFaceClient(config) as running:
        yield running


def statuses(llmock: LLMock) -> list[int]:
    return [request.status for request in llmock.requests]


@pytest.mark.parametrize("as_base64", [False, True])
def test_a_vision_query_brings_the_servers_reply_and_its_text(llmock: LLMock, as_base64: bool) -> None:
    llmock.reply("The trend is up.")
    image: Any = base64.b64encode(chart()).decode() if as_base64 else chart()
    with create_vision_client("hf_xxx", base_url=llmock.base_url("openai")) as client:
        reply = client.query_vision_model(image, "Which trend?", parameters={"max_tokens": 50})
    assert reply["generated_text"] == "The trend is up."
    assert reply["choices"][0]["message"]["content"] == "The trend is up."
    body = llmock.last_request.body
    assert (body["model"], body["max_tokens"]) == (MODEL, 50)
    text, picture = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Which trend?"}
    assert picture["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(chart()).decode()


def test_a_429_is_retried_and_its_retry_after_is_honoured(llmock: LLMock, client: HuggingFaceClient) -> None:
    llmock.rate_limit(times=2, retry_after=0.6)
    started = time.monotonic()
    client.query_vision_model(chart(), "Which trend?")
    assert time.monotonic() - started >= 1.2
    assert statuses(llmock) == [429, 429, 200]
    llmock.assert_resilient(strict=True)


def test_it_judges_our_retries_to_be_those_of_a_good_client(llmock: LLMock, client: HuggingFaceClient) -> None:
    llmock.fail(503)
    assert client.query_vision_model(chart(), "Which trend?")["generated_text"]
    llmock.fail(422, times=None)
    with pytest.raises(HFRequestError):
        client.query_vision_model(chart(), "Which trend?")
    assert statuses(llmock) == [503, 200, 422]
    llmock.assert_resilient(strict=True)


def test_a_models_status_comes_from_any_openai_compatible_list(llmock: LLMock, client: HuggingFaceClient) -> None:
    assert client.check_model_status("gpt-4o")["available"] is True
    missing = client.check_model_status("no/such-model")
    assert missing["available"] is False
    assert "no/such-model" in missing["error"]
