"""Every curl of docs/http.md is run as it stands there, but for the port and the ids that the page leaves open."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.http_api import png
from support.repository import ROOT
from support.serving import requests_file, serve
from support.stack import PATIENCE_S, Stack, stack

from worker.rehearsal import Behaviour, Rehearsal

_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def curls() -> list[str]:
    """The commands of the page, a continued line being one."""
    text = (ROOT / "docs" / "http.md").read_text("utf-8")
    lines = "".join(_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl")]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Stack]:
    charts = tmp_path / "charts"
    charts.mkdir()
    for shade, name in enumerate(("one", "two")):
        (charts / f"{name}.png").write_bytes(png(shade))
    requests_file(tmp_path, 3)
    with (
        Rehearsal(Behaviour(latency_s=0.02)) as server,
        stack(tmp_path, HF_BASE_URL=server.base_url, VISION_MODEL="org/model", CHART_ROOT=str(charts)) as made,
    ):
        yield made


def test_every_curl_of_the_page_works(user: Stack) -> None:
    if shutil.which("curl") is None and not os.environ.get("CI"):
        pytest.skip("there is no curl")
    _, url = serve(user)
    ids: dict[str, str] = {}
    for command in curls():
        typed = command.replace("http://127.0.0.1:8000", url)
        for word, id_ in ids.items():
            typed = re.sub(rf"\b{word}\b", id_, typed)
        done = subprocess.run(
            ["bash", "-c", typed], cwd=user.folder, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, command
        assert '"error": {' not in done.stdout.split("\n")[-1] or "/results" in command, (command, done.stdout)
        assert '{"error":' not in done.stdout, (command, done.stdout)
        for word, name in (("BATCH", "batch_id"), ("JOB", "job_id"), ("FILE", "id")):
            found = re.search(rf'"{name}": "([^"]+)"', done.stdout)
            if found and word not in ids and (word != "FILE" or found[1].startswith("file-")):
                ids[word] = found[1]
    assert set(ids) == {"BATCH", "JOB", "FILE"}
    assert len(curls()) > 15
    assert "chartq report" in (user.folder / "report.html").read_text("utf-8")
