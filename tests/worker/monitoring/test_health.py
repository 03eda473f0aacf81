"""`chartq health`: who is called alive, and who isn't. Real processes, which are stopped, killed and hung."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stack import Finished, Stack, draw_charts, eventually, finish, stack

from worker.monitoring.health import look_at_workers
from worker.monitoring.liveness import live_workers, liveness_file, liveness_folder
from worker.rehearsal import Rehearsal

#: A process that stamps until it is told to hang.
LOOP = """
import sys, time
from pathlib import Path
from worker.monitoring.liveness import liveness_file
with liveness_file(Path(sys.argv[1])) as liveness:
    print("ready", flush=True)
    while not Path(sys.argv[1] + ".hang").exists():
        liveness.stamp()
        time.sleep(0.02)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (home := tmp_path / "home").mkdir()
    return home


@pytest.fixture
def loop(home: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", LOOP, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            yield running
        finally:
            running.kill()


def lives(home: Path, max_age_s: float = 0.5) -> bool:
    return look_at_workers(home, max_age_s=max_age_s).ok is True


# The stamp ----------------------------------------------------------------------------------------------


def test_a_loop_that_turns_is_alive_and_one_that_hangs_is_not(home: Path, loop: "subprocess.Popen[str]") -> None:
    time.sleep(0.6)
    eventually(lambda: lives(home))
    assert [worker.pid for worker in live_workers(home)] == [loop.pid]
    Path(f"{home}.hang").touch()
    eventually(lambda: not lives(home))
    assert f"process {loop.pid} turned" in look_at_workers(home, max_age_s=0.5).message


def test_a_stopped_process_is_not_alive_until_it_goes_on(home: Path, loop: "subprocess.Popen[str]") -> None:
    loop.send_signal(signal.SIGSTOP)
    eventually(lambda: not lives(home))
    loop.send_signal(signal.SIGCONT)
    eventually(lambda: lives(home))


def test_what_a_killed_process_leaves_behind_says_nothing(home: Path, loop: "subprocess.Popen[str]") -> None:
    loop.kill()
    loop.wait()
    (left,) = liveness_folder(home).glob("*")
    assert look_at_workers(home, max_age_s=60).message == "none runs here"
    with liveness_file(home):
        assert [worker.pid for worker in live_workers(home)] == [os.getpid()]
        assert left.exists()  # a worker that is just beginning looks the same
    os.utime(left, (0, 0))
    with liveness_file(home):
        assert not left.exists()


def test_of_several_workers_one_that_hangs_is_told(home: Path, loop: "subprocess.Popen[str]") -> None:
    loop.send_signal(signal.SIGSTOP)
    with liveness_file(home) as liveness:
        time.sleep(0.6)
        liveness.stamp()
        assert len(live_workers(home)) == 2
        assert not lives(home)


def test_a_killed_process_leaves_nothing_outside_of_its_home(home: Path, loop: "subprocess.Popen[str]") -> None:
    assert list(liveness_folder(home).parent.iterdir()) == [home / "pulse"]
    assert liveness_folder(home).parent == home


def test_a_worker_without_a_home_is_seen_also_when_there_is_one_later(tmp_path: Path) -> None:
    home = tmp_path / "later"
    with liveness_file(home):
        assert not home.exists()
        assert lives(home, 60)
        home.mkdir()
        assert lives(home, 60)
    assert not list(home.iterdir())


def test_homes_do_not_see_each_other_and_leave_nothing(home: Path, tmp_path: Path) -> None:
    with liveness_file(home):
        assert lives(home, 60)
        assert not lives(tmp_path / "other", 60)
        assert liveness_folder(home).stat().st_mode & 0o777 == 0o700
    assert not liveness_folder(home).exists()


def test_a_worker_that_can_stamp_nowhere_works_all_the_same(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    liveness_folder(home).touch()  # somebody else's file in the way
    with liveness_file(home) as liveness:
        liveness.stamp()
        assert not lives(home)
    assert "won't see this worker" in caplog.text


# The command --------------------------------------------------------------------------------------------


@pytest.fixture
def user(server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="chartq-") as temporary,
        stack(tmp_path, HF_BASE_URL=server.base_url, TMPDIR=temporary) as made,
    ):
        yield made


def health(user: Stack, *args: str, **environment: Any) -> Finished:
    return user.run("--json", *args, module="worker.health", expect=None, **environment)


def verdicts(ended: Finished) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in ended.json()["checks"]}


def test_without_a_worker_it_says_so_and_starts_nothing(user: Stack) -> None:
    ended = health(user)
    assert ended.code == 1
    assert verdicts(ended) == {"worker": False, "redis": False, "store": False}
    assert not user.home.exists()
    by_name = user.run("health", "--local", expect=1)
    assert by_name.stdout == "FAIL worker: none runs here\n"


def test_a_running_worker_is_healthy_and_a_frozen_one_is_not(user: Stack) -> None:
    worker = user.worker()
    ended = health(user)
    assert (ended.code, verdicts(ended)) == (0, {"worker": True, "redis": True, "store": True})

    worker.send_signal(signal.SIGSTOP)
    time.sleep(2)
    ended = health(user, "--max-age", "1.5")
    assert (ended.code, verdicts(ended)) == (1, {"worker": False, "redis": True, "store": True})
    worker.send_signal(signal.SIGCONT)
    eventually(lambda: health(user, "--local", "--max-age", "1.5").code == 0)

    worker.send_signal(signal.SIGTERM)
    finish(worker)
    assert health(user, "--local").code == 1


def test_a_loop_that_waits_for_a_locked_store_grows_unhealthy(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.5)
    user.submit(draw_charts(user.folder / "charts", 12))
    user.worker("--concurrency", "2")
    eventually(lambda: len(server.record) >= 2)
    with user.locked_store():
        eventually(lambda: health(user, "--local", "--max-age", "2").code == 1)
    eventually(lambda: health(user, "--local", "--max-age", "2").code == 0)


def test_redis_and_store_that_are_not_there_are_told(user: Stack) -> None:
    nobody = {
        "REDIS_URL": "redis://:secret-word@127.0.0.1:9/0",
        "RESULTS_URL": "postgresql+psycopg://chartq:secret-word@127.0.0.1:9/chartq",
    }
    ended = health(user, **nobody)
    assert ended.code == 1
    assert verdicts(ended) == {"worker": False, "redis": False, "store": False}
    assert "secret-word" not in ended.stdout + ended.stderr


def test_wrong_settings_are_wrong_usage(user: Stack) -> None:
    ended = health(user, REDIS_URL="nonsense")
    assert ended.code == 2
    assert ended.stderr.startswith("chartq: REDIS_URL")
