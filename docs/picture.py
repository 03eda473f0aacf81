"""Make the README's picture, docs/report.png: the demo's charts, asked and reported, in headless Chromium.

$ .venv/bin/python docs/picture.py [FILE]

The answers are those of the rehearsal server, and the page says so. Needs Chromium (Debian: apt install chromium).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

#: Pixels of the page, and colours of the picture: enough for charts and text, and the file stays small.
_WIDTH, _HEIGHT, _COLOURS = 1200, 860, 96

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(target: Path) -> None:
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium here: apt install chromium")
    with tempfile.TemporaryDirectory(prefix="chartq-picture-") as name:
        folder = Path(name)
        _photograph(browser, _report(folder), folder / "page.png")
        with Image.open(folder / "page.png") as page:
            page.convert("RGB").quantize(_COLOURS).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def _report(folder: Path) -> Path:
    """The demo's results as a page, from a home of their own."""
    _chartq(folder, "demo")
    home = {"CHARTQ_HOME": str(folder / ".chartq" / "demo")}
    batch = json.loads(_chartq(folder, "list", "--json", **home).splitlines()[0])
    _chartq(folder, "results", batch["batch_id"], "-o", "report.html", **home)
    return folder / "report.html"


def _chartq(folder: Path, *arguments: str, **environment: str) -> str:
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "CHART", "REDIS", "RESULTS"))
    }
    program = Path(sys.executable).with_name("chartq")
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=ours | environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def _photograph(browser: str, page: Path, target: Path) -> None:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    size = f"--window-size={_WIDTH},{_HEIGHT}"
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser, *flags, profile, size, f"--screenshot={target}", page.as_uri()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("report.png"))
