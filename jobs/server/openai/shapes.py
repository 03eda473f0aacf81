"""The shapes of OpenAI's own documents, for `/openapi.json`."""

from typing import Any, Literal

from jobs.server.shapes import HoldDocument, Shape


class ChatChoice(Shape):
    """The answer."""

    index: int
    message: dict[str, Any]
    finish_reason: str


class ChatCompletion(Shape):
    """As OpenAI has it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]


class FileObject(Shape):
    """A file, as OpenAI has it."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]


class Files(Shape):
    """A page of files."""

    object: Literal["list"]
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Deleted(Shape):
    """It is gone."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]


class OpenAICounts(Shape):
    """How many requests stand where."""

    total: int
    completed: int
    failed: int


class OpenAIBatchObject(Shape):
    """A batch, as OpenAI has it; `hold` says why it waits for a person."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: dict[str, Any] | None
    input_file_id: str
    completion_window: str
    status: Literal["validating", "failed", "in_progress", "completed", "cancelling", "cancelled"]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    completed_at: int | None
    failed_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: OpenAICounts
    metadata: dict[str, str] | None
    hold: HoldDocument | None


class OpenAIBatches(Shape):
    """A page of batches."""

    object: Literal["list"]
    data: list[OpenAIBatchObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Model(Shape):
    """A model, as OpenAI has it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Shape):
    """All of them."""

    object: Literal["list"]
    data: list[Model]
