"""The demo: the main job on the sample charts, a table at the end, and plain words about who answered."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from support.repository import ROOT
from support.stack import stack

from worker.cli.demo_command import CHARTS
from worker.rehearsal import Rehearsal

NAMES = json.loads((CHARTS / "trends.json").read_text(encoding="utf-8"))


def test_without_a_token_the_rehearsal_server_answers_and_that_is_said(tmp_path: Path) -> None:
    with stack(tmp_path, HF_RATE_LIMIT="1/h", VISION_TIMEOUT="20") as user:  # a budget is for the real thing
        done = user.run("demo")
        assert "REHEARSAL SERVER answers, not a model" in done.stderr
        assert "HF_TOKEN" in done.stderr
        for chart in NAMES:
            assert chart in done.stdout
        assert done.stdout.count("finished") == len(NAMES)
        assert str(user.home / "demo") in done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert (user.home / "demo" / "results.sqlite").exists()
        assert not (user.home / "results.sqlite").exists()  # nothing of it is in the user's own home


def test_with_a_token_the_endpoint_answers_and_that_is_said(tmp_path: Path) -> None:
    with Rehearsal() as server, stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_mine") as user:
        user.environment["VISION_MODEL"] = "org/mine"
        done = user.run("demo")
        assert f"{server.base_url} answers, with org/mine" in done.stderr
        assert "REHEARSAL" not in done.stderr
        assert "hf_mine" not in done.stdout + done.stderr
        assert {call.model for call in server.record} == {"org/mine"}
        assert len(server.record) == len(NAMES)


def test_a_wheel_holds_the_two_packages_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"jobs", "worker"}
    assert not [name for name in names if name.endswith((".pyc", ".db", ".sqlite"))]
    needed = {"jobs/py.typed", "worker/py.typed", "worker/cli/charts/trends.json"}
    needed |= {f"worker/cli/charts/{chart}" for chart in NAMES}
    needed |= {str(file.relative_to(ROOT)) for file in ROOT.glob("jobs/lanes/lua/*.lua")}
    assert needed <= set(names)
