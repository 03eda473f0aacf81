"""Results as the OpenAI Batch API writes them: an output file, and an error file next to it.

Shapes: https://platform.openai.com/docs/api-reference/batch/request-output. Rows that have not ended are in
neither file, as in the API's own.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from jobs.core.finish_reason import is_cut_off
from jobs.core.text import dumps
from jobs.formats.files import data_file
from jobs.formats.format import ReportContext, Row
from jobs.formats.rows import tokens_of

#: The API's word for a request that was canceled before it ran.
_CANCELED_CODE = "batch_cancelled"

#: Why an answer ended, and what it took, as the API says it.
_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def errors_path(path: Path) -> Path:
    """Where the error lines of an output file go: `results.jsonl` -> `results.errors.jsonl`."""
    return path.with_name(f"{path.stem}.errors{path.suffix or '.jsonl'}")


def write_openai(rows: Iterable[Row], path: Path, _context: ReportContext) -> list[Path]:
    """Write both files; the error file is there, empty, even if nothing failed: no old one is taken for new."""
    with data_file(path) as output, data_file(errors_path(path)) as errors:
        for row in rows:
            if line := output_line(row):
                output.write(line)
            elif line := error_line(row):
                errors.write(line)
    return [path, errors_path(path)]


def write_openai_text(rows: Iterable[Row], out: TextIO, _context: ReportContext) -> None:
    """The lines of both files in one stream."""
    for row in rows:
        out.write(output_line(row) or error_line(row))


def output_line(row: Row) -> str:
    """The row's line of the output file; "" if it has none."""
    return dumps(_line(row, status_code=200, body=completion(row))) + "\n" if row["status"] == "finished" else ""


def error_line(row: Row) -> str:
    """The row's line of the error file; "" if it has none."""
    return dumps(_error_line(row)) + "\n" if row["status"] in ("failed", "canceled") else ""


def completion(row: Row) -> dict[str, Any]:
    """The server's chat completion, what the type demands filled in; made up around the text if it sent another kind.

    The classic task API's replies and servers that leave `id` or `created` out are why.
    """
    raw = row["raw"]
    finished = datetime.fromisoformat(row["finished_at"]).timestamp() if row["finished_at"] else 0
    frame = {
        "id": f"chatcmpl-{row['job_id']}",
        "object": "chat.completion",
        "created": int(finished),
        "model": row["model"],
    }
    choices = raw.get("choices") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not _are_choices(choices):
        message = {"role": "assistant", "content": row["text"], "refusal": None}
        reason = _reason(row.get("finish_reason"))
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {**frame, "choices": [choice], "usage": _usage(row, None)}
    told = {name: raw[name] for name, value in frame.items() if isinstance(raw.get(name), type(value))}
    told["object"] = frame["object"]  # some servers say text_completion here
    first, *others = (_choice(index, one) for index, one in enumerate(choices or []))
    shaped = {"choices": [_with_answer(first, row), *others], "usage": _usage(row, raw.get("usage"))}
    return {**raw, **frame, **told, **shaped}


def _are_choices(choices: Any) -> bool:
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(isinstance(one, dict) and isinstance(one.get("message"), dict) for one in choices)
    )


def _choice(index: int, choice: dict[str, Any]) -> dict[str, Any]:
    message = {"content": None, **choice["message"], "role": "assistant"}
    reason = _reason(choice.get("finish_reason"))
    return {"index": index, "logprobs": None, **choice, "message": message, "finish_reason": reason}


def _with_answer(choice: dict[str, Any], row: Row) -> dict[str, Any]:
    """Where its content is no text that says something, the answer stood elsewhere: in the reasoning, in parts."""
    content = choice["message"]["content"]
    if not isinstance(content, str) or not content.strip():
        choice = {**choice, "message": {**choice["message"], "content": row["text"]}}
    return {**choice, "finish_reason": _reason(row.get("finish_reason"), choice["finish_reason"])}


def _reason(*told: Any) -> str:
    """In the API's words, of which clients know no others; rows have the server's."""
    said = next((one for one in told if isinstance(one, str) and one.strip()), "stop")
    if said in _REASONS:
        return said
    return "length" if is_cut_off(said) else "stop"


def _usage(row: Row, told: Any) -> dict[str, Any] | None:
    """As the server told it, if those are the counts that clients read."""
    if isinstance(told, dict) and all(type(told.get(name)) is int for name in _COUNTS):
        return told
    prompt, completion_ = tokens_of(row)
    if prompt is None and completion_ is None:
        return None
    counts = prompt or 0, completion_ or 0
    return dict(zip(_COUNTS, (*counts, sum(counts)), strict=True))


def _error_line(row: Row) -> dict[str, Any]:
    """With `response` if the server answered, with `error` if it never did: that is how the API tells them apart."""
    error = row["error"] or {"type": "canceled", "message": "canceled before it was asked", "status_code": None}
    if row["status"] == "failed" and error["status_code"]:
        told = {"message": error["message"], "type": error["type"], "param": None, "code": None}
        return _line(row, status_code=error["status_code"], body={"error": told})
    code = _CANCELED_CODE if row["status"] == "canceled" else error["type"]
    return {**_line(row), "response": None, "error": {"code": code, "message": error["message"]}}


def _line(row: Row, *, status_code: int = 0, body: Any = None) -> dict[str, Any]:
    response = {"status_code": status_code, "request_id": row["request_id"] or row["job_id"], "body": body}
    return {"id": f"batch_req_{row['job_id']}", "custom_id": row["custom_id"], "response": response, "error": None}
