"""The README's picture is what its script makes: a report of the demo's charts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.repository import ROOT

DOCS = ROOT / "docs"
PICTURE = DOCS / "report.png"


def test_the_readme_shows_a_small_picture() -> None:
    assert "(docs/report.png)" in (DOCS.parent / "README.md").read_text("utf-8")
    assert PICTURE.stat().st_size < 200_000


def test_the_script_makes_the_picture_anew(tmp_path: Path) -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        assert not os.environ.get("CI"), "CI needs Chromium: apt-get install -y chromium"
        pytest.skip("no Chromium here")
    made = tmp_path / "report.png"
    done = subprocess.run([sys.executable, DOCS / "picture.py", made], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_size < 200_000
    with Image.open(made) as new, Image.open(PICTURE) as old:
        assert new.size == old.size
        # The charts' dark thumbnails, the banner's yellow: a page that failed to load has neither.
        colours = new.convert("RGB").getcolors(1 << 24) or []
    dark = sum(count for count, colour in colours if isinstance(colour, tuple) and max(colour) < 60)
    assert len(colours) > 50
    assert dark > 10_000
