"""The stores that the conformance suite runs on, and small helpers to fill them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobs.core.failure_limit import FailureLimit
from jobs.core.job import Question, job_id
from jobs.ledger import AnswerRow, Batch, Finished, Ledger, NewMember
from support.postgres import new_database

STORES = ("sqlite", "postgresql")

QUESTION = Question(prompt="Which way?", model="org/model", parameters={"max_tokens": 5})


def new_store(kind: str, folder: Path) -> str:
    """The URL of a new, empty store. Without PostgreSQL a test is skipped at home and fails under CI."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/home/ledger.db"
    try:
        return new_database()
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL: {error}")


def sha256_of(chart: str) -> str:
    return hashlib.sha256(os.fsencode(chart)).hexdigest()


def id_of(chart: str) -> str:
    """The job id of a chart under QUESTION."""
    return job_id(sha256_of(chart), QUESTION.id)


def members_of(charts: Iterable[str]) -> list[NewMember]:
    """A submit's rows, one per chart; `name=content` submits content under another name."""
    rows = []
    for position, chart in enumerate(charts):
        name, _, content = chart.partition("=")
        sha256 = sha256_of(content or name)
        rows.append(
            NewMember(
                position=position,
                custom_id=f"{name}.png",
                job_id=job_id(sha256, QUESTION.id),
                image_sha256=sha256,
                image=f"/charts/{name}.png",
            )
        )
    return rows


def open_batch(ledger: Ledger, *, now: float, fingerprint: str = "f", max_failures: str | None = None) -> Batch:
    return ledger.open_batch(
        question=QUESTION,
        name=None,
        fingerprint=fingerprint,
        sources=["/charts"],
        priority="normal",
        now=now,
        max_failures=FailureLimit.parse(max_failures) if max_failures else None,
    )


def submit(
    ledger: Ledger, charts: Iterable[str], *, now: float, refresh: bool = False, max_failures: str | None = None
) -> Batch:
    """A whole submit of these charts."""
    batch = open_batch(ledger, now=now, max_failures=max_failures)
    ledger.add_members(batch, members_of(charts), refresh=refresh, count_rehearsals=False, now=now)
    ledger.seal(batch, now)
    return ledger.batch(batch.batch_id)


def start(ledger: Ledger, chart: str, execution_id: str = "e", *, now: float = 0.0) -> None:
    assert id_of(chart) in ledger.start([(id_of(chart), execution_id)], now)


def finished(chart: str, text: str = "up", execution_id: str = "e", *, rehearsal: bool = False) -> Finished:
    answer = AnswerRow(
        text=text,
        raw={"text": text},
        prompt_tokens=7,
        completion_tokens=3,
        latency_s=0.5,
        request_id="r",
        provider="p",
        rehearsal=rehearsal,
    )
    return Finished(job_id=id_of(chart), execution_id=execution_id, answer=answer)
