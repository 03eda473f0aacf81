"""Results as the store gives them to those who write files, and what is told of their batch."""

from typing import Any

from jobs.core.job import Question
from jobs.formats import ReportContext, Row

QUESTION = Question(prompt="Up or down?", model="org/model")

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "org/model",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Up."}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 600, "completion_tokens": 3, "total_tokens": 603},
}


def row(number: int = 1, **changes: Any) -> Row:
    return {
        "job_id": f"{number:032x}",
        "custom_id": f"fx/chart-{number}.png",
        "image": f"/nowhere/chart-{number}.png",
        "model": "org/model",
        "prompt": QUESTION.prompt,
        "status": "finished",
        "text": "Up.",
        "raw": COMPLETION,
        "error": None,
        "attempts": 1,
        "throttled": 0,
        "usage": {"prompt_tokens": 600, "completion_tokens": 3},
        "latency_s": 1.25,
        "request_id": "req-1",
        "provider": "nebius",
        "finished_at": "2026-11-22T12:31:05.123Z",
        "rehearsal": False,
        "finish_reason": None,
        "sent": None,
        **changes,
    }


def context(question: Question = QUESTION, name: str | None = None) -> ReportContext:
    counts = {"total": 3, "queued": 0, "started": 0, "scheduled": 0, "finished": 2, "failed": 1, "canceled": 0}
    document = {
        "batch_id": f"b-{question.id[:6]}",
        "name": name,
        "model": question.model,
        "status": "completed_with_errors",
        "request_counts": counts,
        "hold": None,
        "usage": {"prompt_tokens": 1200, "completion_tokens": 34},
        "created_at": "2026-11-22T11:02:00.000Z",
        "finished_at": "2026-11-22T12:31:05.000Z",
    }
    return ReportContext(status=lambda: document, question=question)
