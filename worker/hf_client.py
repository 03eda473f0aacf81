"""The Hugging Face client's public name; the client itself stands in `worker.hf`."""

from worker.hf.client import HuggingFaceClient, create_text_client, create_vision_client
from worker.hf.config import DEFAULT_TEXT_MODEL, DEFAULT_VISION_MODEL, HFConfig
from worker.hf.errors import (
    HFAPIError,
    HFAuthenticationError,
    HFBadAnswerError,
    HFConnectionError,
    HFCreditsError,
    HFGatedModelError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFPermissionError,
    HFRateLimitError,
    HFRequestError,
    HFServerError,
    HFTimeoutError,
    HFUnreachableError,
)
from worker.hf.replies import Answer

__all__ = [
    "DEFAULT_TEXT_MODEL",
    "DEFAULT_VISION_MODEL",
    "Answer",
    "HFAPIError",
    "HFAuthenticationError",
    "HFBadAnswerError",
    "HFConfig",
    "HFConnectionError",
    "HFCreditsError",
    "HFGatedModelError",
    "HFModelLoadingError",
    "HFModelNotFoundError",
    "HFPermissionError",
    "HFRateLimitError",
    "HFRequestError",
    "HFServerError",
    "HFTimeoutError",
    "HFUnreachableError",
    "HuggingFaceClient",
    "create_text_client",
    "create_vision_client",
]
