"""The Hugging Face client's public name; the client itself stands in `worker.hf`."""

from jobs.core.job import DEFAULT_TEXT_MODEL, DEFAULT_VISION_MODEL
from worker.hf.client import HuggingFaceClient, create_text_client, create_vision_client
from worker.hf.config import HFConfig
from worker.hf.errors import (
    HFAPIError,
    HFAuthenticationError,
    HFBadAnswerError,
    HFBlockedError,
    HFConnectionError,
    HFContentFilterError,
    HFCreditsError,
    HFGatedModelError,
    HFMaxTokensError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFPermissionError,
    HFRateLimitError,
    HFRefusalError,
    HFRequestError,
    HFServerError,
    HFTimeoutError,
    HFToolCallError,
    HFUnreachableError,
    HFWouldRepeatError,
)
from worker.hf.replies import Answer

__all__ = [
    "DEFAULT_TEXT_MODEL",
    "DEFAULT_VISION_MODEL",
    "Answer",
    "HFAPIError",
    "HFAuthenticationError",
    "HFBadAnswerError",
    "HFBlockedError",
    "HFConfig",
    "HFConnectionError",
    "HFContentFilterError",
    "HFCreditsError",
    "HFGatedModelError",
    "HFMaxTokensError",
    "HFModelLoadingError",
    "HFModelNotFoundError",
    "HFPermissionError",
    "HFRateLimitError",
    "HFRefusalError",
    "HFRequestError",
    "HFServerError",
    "HFTimeoutError",
    "HFToolCallError",
    "HFUnreachableError",
    "HFWouldRepeatError",
    "HuggingFaceClient",
    "create_text_client",
    "create_vision_client",
]
