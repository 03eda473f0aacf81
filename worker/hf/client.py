"""The Hugging Face client: questions about images and texts, asked of any server that speaks its API.

Used on its own, the `query_` methods retry what may pass; inside a job, `ask` makes one call and lets the
queue do the waiting. Knows nothing of queues.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from jobs.core.job import DEFAULT_TEXT_MODEL, DEFAULT_VISION_MODEL, Api
from worker.hf import errors
from worker.hf.backoff import backoff_s
from worker.hf.catalogue import ModelInfo, list_models, lookup, model_path
from worker.hf.config import HFConfig, TaskName
from worker.hf.replies import Answer, read_reply
from worker.hf.request_body import Body, ImageInput, ImageToSend, ImageUrl, chat_body, image_to_send, task_body
from worker.hf.transport import Transport

#: Longest wait in seconds between two attempts of a `query_` method, whatever the server asks for: somebody
#: sits in front of it. A 429 that asks for more is raised at once, with the wish in `hint_s`.
MAX_WAIT_S = 60.0

#: What may pass, but for HFWouldRepeatError. Others (token, credits, model, request) won't, however often one asks.
RETRIED = (
    errors.HFRateLimitError,
    errors.HFModelLoadingError,
    errors.HFServerError,
    errors.HFBadAnswerError,
    errors.HFTimeoutError,
    errors.HFConnectionError,
)

_MAX_TRACE_ID_CHARS = 128

_log = logging.getLogger(__name__)


class HuggingFaceClient:
    """One server, one account. Safe for many threads; `close` it, or use it in a `with` block.

    `sleep` is what waits between attempts (seconds).
    """

    def __init__(self, config: HFConfig, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._sleep = sleep
        self._transport = Transport(token=config.api_key, pool_size=config.pool_size)

    def __repr__(self) -> str:
        return f"HuggingFaceClient({self.config!r})"

    def query_vision_model(
        self, image: ImageInput, prompt: str, model_id: str | None = None, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The server's reply to a question about an image (bytes or base64), with "generated_text" added.

        A reply that is a list, as of the classic API, stands under "results". Raises HFAPIError's children.
        """
        answer = self._ask_patiently(self._model(model_id, DEFAULT_VISION_MODEL), prompt, [image], parameters)
        reply = dict(answer.raw) if isinstance(answer.raw, dict) else {"results": answer.raw}
        return {**reply, "generated_text": answer.text}

    def query_text_model(
        self, prompt: str, model_id: str | None = None, parameters: Mapping[str, Any] | None = None
    ) -> str:
        """The text that a model writes on `prompt`. Raises HFAPIError's children."""
        return self._ask_patiently(self._model(model_id, DEFAULT_TEXT_MODEL), prompt, [], parameters).text

    def check_model_status(self, model_id: str | None = None) -> dict[str, Any]:
        """`{"available": bool, "model_id": str, ...}`, with "error" if not. Never raises HFAPIError."""
        model = self._model(model_id, DEFAULT_VISION_MODEL)
        try:
            info = self.model_info(model)
        except errors.HFAPIError as error:
            failed = {"available": False, "model_id": model, "error": str(error)}
            return failed | {"status_code": error.status_code, "hint_s": error.hint_s}
        status = {"available": info.served, "model_id": model, "takes_images": info.takes_images}
        status["providers"] = info.live_names
        return status if info.served else status | {"error": f"{model} is not available: {info.note}"}

    def model_info(self, model_id: str) -> ModelInfo:
        """What the server's catalogue says about a model. Raises HFAPIError if there is no telling."""
        return lookup(self._transport, self.config, model_id)

    def list_models(self) -> list[ModelInfo]:
        """The server's catalogue. Raises HFAPIError."""
        return list_models(self._transport, self.config)

    def ask(
        self,
        *,
        model: str,
        prompt: str,
        images: Sequence[ImageInput | ImageUrl] = (),
        parameters: Mapping[str, Any] | None = None,
        messages: Sequence[Any] | None = None,
        api: Api | None = None,
        task: TaskName | None = None,
        timeout_s: float | None = None,
        trace_id: str | None = None,
    ) -> Answer:
        """One HTTP call, no retries. Raises HFAPIError's children, and what an ImageToSend raises to be sent again.

        `images`: any number, none for text alone; the classic task bodies take one at most.
        `messages`: a whole conversation, in the prompt's place; an image goes into each image_url part (chat only).
        `api`, `task` and `timeout_s` (the whole call's) are the configuration's if not given. `trace_id`
        comes back inside the request id of Hugging Face's router.
        """
        api = api or self.config.api
        body = self._body(api, task, model, prompt, images, parameters, messages)
        return self._send(body, api=api, model=model, timeout_s=timeout_s, trace_id=trace_id)

    def cut(self, trace_id: str) -> bool:
        """End the call with this `trace_id`, from any thread: its `ask` raises HFTimeoutError."""
        return self._transport.cut(trace_id)

    def close(self) -> None:
        """Closes the pooled connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _model(self, model_id: str | None, default: str) -> str:
        return model_id or self.config.model_id or default

    def _body(
        self,
        api: Api,
        task: TaskName | None,
        model: str,
        prompt: str,
        images: Sequence[ImageInput | ImageUrl],
        parameters: Mapping[str, Any] | None,
        messages: Sequence[Any] | None = None,
    ) -> Body:
        pictures = [one.url if isinstance(one, ImageUrl) else image_to_send(one) for one in images]
        if api == "chat":
            return chat_body(model=model, prompt=prompt, pictures=pictures, parameters=parameters, messages=messages)
        if len(pictures) > 1 or any(isinstance(one, str) for one in pictures):
            raise errors.HFRequestError('The classic task bodies take one image, and no URL of one: use api="chat"')
        task = task or (self.config.task if pictures else "text-generation")
        picture = next((one for one in pictures if isinstance(one, ImageToSend)), None)
        return task_body(task=task, prompt=prompt, image=picture, parameters=parameters)

    def _send(self, body: Body, *, api: Api, model: str, timeout_s: float | None, trace_id: str | None) -> Answer:
        path = "chat/completions" if api == "chat" else f"models/{model_path(model)}"
        reply = self._transport.call(
            "POST",
            f"{self.config.url_of(api)}/{path}",
            timeout_s=self.config.timeout if timeout_s is None else timeout_s,
            body=body,
            headers=self._headers(trace_id),
            name=trace_id,
        )
        # What is put together here (a text of several parts, say) may be the token though no part of it was.
        clean = self._transport.scrubber.text
        try:
            answer = read_reply(reply.status, reply.headers, reply.body, api=api, clean=clean)
        except errors.HFAPIError as error:
            error.args = (clean(str(error)),)
            raise
        text = clean(answer.text)
        return answer if text is answer.text else replace(answer, text=text)

    def _headers(self, trace_id: str | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.config.bill_to:
            headers["X-HF-Bill-To"] = self.config.bill_to
        if trace_id:
            plain = "".join(char for char in trace_id if char.isascii() and char.isprintable())
            headers["X-Amzn-Trace-Id"] = plain.strip()[:_MAX_TRACE_ID_CHARS]
        return headers

    def _ask_patiently(
        self, model: str, prompt: str, images: Sequence[ImageInput], parameters: Mapping[str, Any] | None
    ) -> Answer:
        """`ask` with retries; the body is built once."""
        api, trace_id = self.config.api, str(uuid.uuid4())
        body = self._body(api, None, model, prompt, images, parameters)
        for attempt in range(1, self.config.max_retries + 1):
            try:
                return self._send(body, api=api, model=model, timeout_s=None, trace_id=trace_id)
            except errors.HFWouldRepeatError:
                raise
            except RETRIED as error:
                wait_s = self._wait_s(error, attempt)
                if wait_s is None:
                    raise
                _log.info("%s; attempt %d, again in %.1f s", error, attempt, wait_s)
            self._sleep(wait_s)
        return self._send(body, api=api, model=model, timeout_s=None, trace_id=trace_id)

    def _wait_s(self, error: errors.HFAPIError, attempt: int) -> float | None:
        """Seconds until the next attempt; None if it isn't worth waiting for."""
        hint_s = error.hint_s or 0.0
        if isinstance(error, errors.HFRateLimitError) and hint_s > MAX_WAIT_S:
            return None
        delay_s = self.config.retry_delay
        return min(backoff_s(attempt, retry_delay_s=delay_s, jitter=random.random(), hint_s=hint_s), MAX_WAIT_S)


def create_vision_client(api_key: str | None, model_id: str | None = None, **overrides: Any) -> HuggingFaceClient:
    """A client for questions about images; `overrides` are fields of HFConfig."""
    return HuggingFaceClient(HFConfig(api_key=api_key, model_id=model_id or DEFAULT_VISION_MODEL, **overrides))


def create_text_client(api_key: str | None, model_id: str | None = None, **overrides: Any) -> HuggingFaceClient:
    """A client for texts; `overrides` are fields of HFConfig."""
    return HuggingFaceClient(HFConfig(api_key=api_key, model_id=model_id or DEFAULT_TEXT_MODEL, **overrides))
