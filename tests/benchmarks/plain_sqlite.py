"""What `results` is measured against: one statement and a loop, as one would write them by hand for one batch.

`python plain_sqlite.py FILE BATCH_ID jsonl|csv`: the very lines that chartq writes of `large_ledger.fill`'s batches.
Nothing is escaped, disarmed or looked at that these batches have none of.
"""

import csv
import json
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

_ROWS = """
SELECT jobs.job_id, members.custom_id, members.image, questions.model, questions.prompt, jobs.status, answers.text,
    answers.raw, jobs.error_type, jobs.error_message, jobs.status_code, jobs.attempts, jobs.throttled,
    jobs.prompt_tokens, jobs.completion_tokens, jobs.latency_s, jobs.request_id, jobs.provider, jobs.finished_at
FROM batches JOIN members ON members.batch = batches.id JOIN jobs ON jobs.id = members.job
    JOIN questions ON questions.id = jobs.question_id LEFT JOIN answers ON answers.job = jobs.id
WHERE batches.batch_id = ? ORDER BY members.position
"""

_CSV = (
    "custom_id,status,text,image,model,prompt,error,attempts,throttled,prompt_tokens,completion_tokens,latency_s,"
    "request_id,provider,finished_at,rehearsal,finish_reason,usage,sent,job_id"
)


def main(file: str, batch_id: str, form: str) -> None:
    rows = sqlite3.connect(file).execute(_ROWS, (batch_id,))
    if form == "jsonl":
        for row in rows:
            sys.stdout.write(_json_line(*row))
        return
    sys.stdout.write(f"{_CSV}\n")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in rows:
        writer.writerow(_cells(*row))


def _json_line(*row: Any) -> str:
    (
        job_id, custom_id, image, model, prompt, status, text, raw, type_, message, code, attempts, throttled,
        prompt_tokens, completion_tokens, latency_s, request_id, provider, finished_at,
    ) = row  # fmt: skip
    done = status == "finished"
    usage = f'{{"prompt_tokens": {prompt_tokens}, "completion_tokens": {completion_tokens}}}' if done else "null"
    error = json.dumps({"type": type_, "message": message, "status_code": code}) if type_ else "null"
    return (
        f'{{"job_id": "{job_id}", "custom_id": {_text(custom_id)}, "image": {_text(image)}, "model": {_text(model)}, '
        f'"prompt": {_text(prompt)}, "status": "{status}", "text": {_text(text)}, "raw": {raw or "null"}, '
        f'"error": {error}, "attempts": {attempts}, "throttled": {throttled}, "usage": {usage}, '
        f'"latency_s": {"null" if latency_s is None else latency_s}, "request_id": {_text(request_id)}, '
        f'"provider": {_text(provider)}, "finished_at": {_text(_iso(finished_at))}, '
        f'"rehearsal": {"false" if done else "null"}, "finish_reason": null, "sent": null}}\n'
    )


def _cells(*row: Any) -> Sequence[Any]:
    (
        job_id, custom_id, image, model, prompt, status, text, _raw, type_, message, code, attempts, throttled,
        prompt_tokens, completion_tokens, latency_s, request_id, provider, finished_at,
    ) = row  # fmt: skip
    done = status == "finished"
    usage = json.dumps({"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}) if done else None
    error = json.dumps({"type": type_, "message": message, "status_code": code}) if type_ else None
    return (
        custom_id, status, text, image, model, prompt, error, attempts, throttled, prompt_tokens, completion_tokens,
        latency_s, request_id, provider, _iso(finished_at), "false" if done else None, None, usage, None, job_id,
    )  # fmt: skip


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


def _iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    main(*sys.argv[1:])
