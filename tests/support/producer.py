"""The producer's commands within the test's process: as fast as a function call, with all that a user sees."""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from jobs.batches.session import Session
from jobs.broker.embedded import embedded_redis
from jobs.cli.main import producer as producer_commands
from jobs.cli.main import run
from jobs.config.settings import ACCEPTED, Settings, load_settings, variables
from jobs.ledger import AnswerRow, Failed
from jobs.ledger import Finished as FinishedJob
from support.stack import Finished


@dataclass
class Producer:
    """A user who types commands, in a folder and a home of their own."""

    folder: Path

    def run(self, *args: str | Path, expect: int | None = 0, commands: click.Group = producer_commands) -> Finished:
        """Type `chartq ARGS`."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        terminate, unraisable = signal.getsignal(signal.SIGTERM), sys.unraisablehook
        try:
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
                run(commands, [os.fsdecode(arg) for arg in args])
        finally:
            signal.signal(signal.SIGTERM, terminate)
            sys.unraisablehook = unraisable
        code = left.value.code
        done = Finished(code if isinstance(code, int) else 1, _text(out), _text(err))
        if expect is not None:
            assert done.code == expect, f"chartq {args} left with {done.code}\n{done.stdout}\n{done.stderr}"
        return done

    def submit(self, *args: str | Path, prompt: str = "Up?") -> dict[str, Any]:
        return self.run("submit", *args, "-p", prompt, "--json").json()

    def status(self, id_: str) -> dict[str, Any]:
        return self.run("status", id_, "--json").json()

    def results(self, batch_id: str, *options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("results", batch_id, *options).stdout.splitlines()]

    def new_key(self, name: str, *options: str) -> dict[str, str]:
        """As the header that it goes into."""
        return {"authorization": f"Bearer {self.run('keys', 'create', name, *options).stdout.strip()}"}

    @property
    def settings(self) -> Settings:
        return load_settings(env_file=None)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(self.settings) as session:
            yield session

    def start(self, job_ids: Sequence[str], execution_id: str = "e") -> None:
        with self.session() as session:
            assert set(session.ledger.start([(job_id, execution_id) for job_id in job_ids], time.time())) == set(
                job_ids
            )

    def answer(self, batch_id: str, *, text: str = "up", rehearsal: bool = False) -> None:
        """What a worker would write: an answer to every open job of the batch."""
        answer = AnswerRow(
            text=text, raw={"says": text}, prompt_tokens=7, completion_tokens=3, latency_s=0.5, rehearsal=rehearsal
        )
        with self.session() as session:
            rows = session.ledger.results(session.ledger.batch(batch_id))
            ids = sorted({row.job_id for row in rows if row.status == "queued"})
        self.start(ids)
        with self.session() as session:
            done = [FinishedJob(job_id=job_id, execution_id="e", answer=answer) for job_id in ids]
            session.ledger.record(done, time.time())

    def fail(self, job_id: str, *, type_: str = "ImageError", message: str = "it is damaged") -> None:
        self.start([job_id])
        with self.session() as session:
            failed = Failed(job_id=job_id, execution_id="e", error_type=type_, message=message)
            session.ledger.record([failed], time.time())


def unset_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings play no part."""
    for name in (name for field in ACCEPTED for name in variables(field)):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@contextmanager
def producer_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Producer]:
    """A producer; its home's Redis runs until the end, so that no command has to start it anew."""
    unset_settings(monkeypatch)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHARTQ_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    with embedded_redis(folder / "home"):
        yield Producer(folder)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def names_of(commands: click.Group) -> list[str]:
    """The commands that there are."""
    return commands.list_commands(click.Context(commands))


def command_of(commands: click.Group, name: str) -> click.Command:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command
