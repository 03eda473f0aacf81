"""A results store that is removed or replaced while it is in use: no more calls are paid for, and it is said."""

import shutil
from pathlib import Path

import pytest
from support.stack import Stack, draw_charts, eventually, finish

from jobs.broker.file_lock import is_locked
from worker.rehearsal import Behaviour, Rehearsal

BEHAVIOUR = Behaviour(latency_s=0.3)


@pytest.mark.parametrize("command", ["run", "worker"])
@pytest.mark.parametrize("removed", ["home", "file", "replaced"])
def test_a_store_that_is_removed_ends_the_work_at_once_with_a_sentence(
    user: Stack, server: Rehearsal, command: str, removed: str
) -> None:
    charts = draw_charts(user.folder / "charts", 120)
    asked = ("run", str(charts), "-p", "Up?") if command == "run" else ("worker",)
    if command == "worker":
        user.submit(charts)
    process = user.start(*asked, "--concurrency", "4", "--grace", "600")  # longer than we wait for its end
    eventually(lambda: len(server.record) >= 8)
    redis_lives = (user.home / "redis" / "server.lock").open()
    if removed == "home":
        shutil.rmtree(user.home, ignore_errors=True)
    else:
        (user.home / "results.sqlite").unlink()
    if removed == "replaced":
        (user.home / "results.sqlite").touch()
    made = len(server.record)
    ended = finish(process)
    assert ended.code == 1
    assert "was removed or replaced while it was in use" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(server.record) <= made + 2 * 4
    with redis_lives:  # by its lock, which has no name any more
        eventually(lambda: not is_locked(Path(f"/proc/self/fd/{redis_lives.fileno()}")))
