"""Closed streams, and a stderr that nothing can be written to, stop no command."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stack import Stack, draw_charts, stack

from worker.rehearsal import Rehearsal

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="wants a full disk's stand-in")


@pytest.fixture
def user(server: Rehearsal, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token") as made:
        yield made


def in_shell(user: Stack, redirected: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """`chartq ARGS` with its streams as a shell redirects them."""
    line = f'exec "$@" {redirected}'
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "worker.main", *args]
    return subprocess.run(
        command, cwd=user.folder, env=user.environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-", ">&- 2>&- <&-"])
def test_a_run_goes_to_its_end_though_nobody_can_be_told(user: Stack, redirected: str) -> None:
    charts = draw_charts(user.folder / "charts", 3)
    done = in_shell(user, redirected, "run", str(charts), "-p", "Up?")
    assert (done.returncode, done.stderr) == (0, "")
    [batch] = user.run("list", "--json").lines()
    assert batch["status"] == "completed"


def test_what_is_refused_is_left_with_its_code(user: Stack) -> None:
    assert in_shell(user, "2>/dev/full", "frobnicate").returncode == 2
    assert in_shell(user, "2>/dev/full", "status", "b1").returncode == 1


def test_data_that_can_t_be_written_is_the_command_s_failure(user: Stack) -> None:
    user.submit(draw_charts(user.folder / "charts", 3))
    done = in_shell(user, ">/dev/full", "results")
    assert done.returncode == 1
    assert "No space left" in done.stderr
