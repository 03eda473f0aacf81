"""The example script of the docs runs, and shows what it says it shows."""

import os
import subprocess
import sys
from pathlib import Path

from support.repository import ROOT
from support.stack import PATIENCE_S

from worker.rehearsal import Behaviour, Rehearsal

_SCRIPT = ROOT / "docs" / "examples" / "hf_client.py"


def _run(folder: Path, base_url: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(_SCRIPT)],
        cwd=folder,
        env={**environment, "HF_BASE_URL": base_url, "HF_TOKEN": "hf_example_token"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_the_example_script_runs_as_written(tmp_path: Path) -> None:
    with Rehearsal(Behaviour()) as server:
        done = _run(tmp_path, server.base_url)
        called = len(server.record)
    assert done.returncode == 0, done.stderr
    assert called >= 2, "a vision and a text query at least"
    assert "[rehearsal]" in done.stdout


def test_the_example_script_says_what_to_do_when_nobody_answers(tmp_path: Path) -> None:
    done = _run(tmp_path, "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "HF_BASE_URL" in done.stdout + done.stderr
