"""No room on the disk: a clear error, nothing half written, and everything goes on when there is room."""

import re
import resource
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.producer import Producer, producer_in
from support.stack import draw_charts, eventually, stack

from worker.rehearsal import Behaviour, Rehearsal

#: SQLite's own shared file, which readers need too, has 32 kB.
_ROOM = 40_000


@contextmanager
def no_file_grows_beyond(size: int, *, process: int = 0) -> Iterator[None]:
    """What a full disk looks like from inside a process (Python ignores the signal): a write that fails."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Producer, str]]:
    """A batch whose results need more room than there is."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("user")
        with producer_in(folder, monkeypatch) as user:
            batch_id = user.submit(draw_charts(folder / "charts", 2))["batch_id"]
            user.answer(batch_id, text=secrets.token_hex(60_000))
            yield user, batch_id


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv", "r.md", "r.html", "r.parquet", "openai", "compare.html"])
def test_results_that_find_no_room_leave_the_old_file(
    answered: tuple[Producer, str], name: str, tmp_path: Path
) -> None:
    user, batch_id = answered
    target = tmp_path / name
    target.write_text("old")
    command = ["results", batch_id] if name != "compare.html" else ["compare", batch_id, batch_id]
    options = ["--format", "openai"] if name == "openai" else []
    with no_file_grows_beyond(_ROOM):
        done = user.run(*command, "-o", target, *options, expect=1)
    assert re.search(rf"chartq: '{target}' can't be written: .*File too large", done.stderr)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target], "nothing half written is left"
    user.run(*command, "-o", target, *options)
    assert target.stat().st_size > _ROOM


def test_a_worker_whose_store_has_no_room_holds_its_answers_and_goes_on_when_there_is(tmp_path: Path) -> None:
    with (
        Rehearsal(Behaviour(latency_s=0.3)) as server,
        stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token") as user,
    ):
        batch_id = user.submit(draw_charts(user.folder / "charts", 40))
        worker = user.worker("--concurrency", "4", MAX_RETRIES="0")
        eventually(lambda: len(server.record) >= 12)
        size = (user.home / "results.sqlite-wal").stat().st_size
        with no_file_grows_beyond(size, process=worker.pid):
            eventually(lambda: "waiting for the results store" in worker.said)
            asked = len(server.record)
            time.sleep(1.5)
            assert len(server.record) == asked, "no new job is taken"
        eventually(lambda: user.counts(batch_id).finished == 40)
        assert len(server.record) == 40
        assert [row["attempts"] for row in user.results(batch_id)] == [1] * 40
        assert worker.poll() is None
