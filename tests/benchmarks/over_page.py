"""The page of `serve` with 100,000 rows in a real Chromium: `PYTHONPATH=tests python -m benchmarks.over_page`."""

import hashlib
import math
import tempfile
import time
from contextlib import closing
from pathlib import Path

from PIL import Image, ImageDraw
from support.browser import Browser, Tab, chromium
from support.serving import serve
from support.stack import stack
from tools.render_charts import LIGHT, Chart, draw

from benchmarks.large_ledger import fill
from jobs.core.job import Question
from jobs.ledger import AnswerRow, Finished, Ledger, NewMember

_ROWS, _PICTURES, _KEYS, _KEY_EVERY_S = 100_000, 100, 100, 0.25

#: Notes when rows were there, when their cards were painted, and after each key when the next chart was.
_STOPWATCH = """
addEventListener("DOMContentLoaded", () => {
  const look = () => {
    const cells = document.querySelectorAll(".cell:not(.coming)").length;
    const came = performance.getEntriesByType("resource").find((one) => one.name.includes("/rows?"));
    if (cells && came) window.painted = performance.now() - came.responseEnd;
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
window.took = [];
addEventListener("keydown", () => {
  const at = performance.now();
  const before = document.querySelector("#viewer h2")?.textContent;
  const look = () => {
    const canvas = document.querySelector("#viewer canvas");
    const name = document.querySelector("#viewer h2").textContent;
    if (name !== before && canvas.width > 1) took.push(performance.now() - at);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}, true);
"""

#: Points of the window that no card covers, though the grid goes on there.
_UNCOVERED = """[0.3, 0.5, 0.7, 0.9, 0.99].flatMap((y) => [0.1, 0.4, 0.6, 0.9].map((x) => [x, y]))
  .filter(([x, y]) => { const hit = document.elementFromPoint(x * innerWidth, y * innerHeight);
                        return hit && hit.id === "grid"; }).length"""


def main() -> None:
    """Print what it takes."""
    with tempfile.TemporaryDirectory(prefix="chartq-page-") as folder, stack(Path(folder)) as user:
        user.run("list")
        charts = draw_pictures(Path(folder) / "charts")
        with closing(Ledger.open(user.results_url)) as ledger:
            large = fill(ledger, _ROWS).batch_id
            pictured, waiting = with_pictures(ledger, charts)
            _, url = serve(user, "--no-work")
            with chromium(Path(folder) / "profile") as browser:
                browser.allowed = (url,)
                scroll(browser, f"{url}/#/batch/{large}")
                keys(browser, f"{url}/#/batch/{pictured}")
                seen(browser, ledger, f"{url}/#/batch/{pictured}", waiting)


def draw_pictures(folder: Path) -> list[Path]:
    """Charts of 1920 x 1080 pixels, each another file."""
    folder.mkdir()
    chart = Chart(
        file="chart", title="NOVA Robotics", trend="up", size=(1920, 1080), theme=LIGHT, bars=192, start_price=84,
        averages=(10, 30), volume=True, rsi=True, bands=True,
    )  # fmt: skip
    image = draw(chart)
    files = []
    for number in range(_PICTURES):
        one = image.copy()
        ImageDraw.Draw(one).text((20, 20), str(number), fill="red")
        files.append(folder / f"chart-{number:03}.png")
        one.save(files[-1])
    assert Image.open(files[0]).size == (1920, 1080)
    return files


def with_pictures(ledger: Ledger, files: list[Path]) -> tuple[str, list[str]]:
    """A batch of these, of which the last ones wait; their job ids."""
    question = Question(prompt="Where to?", model="org/model")
    now = time.time()
    batch = ledger.open_batch(
        question=question, name="pictured", fingerprint="p", sources=["/charts"], priority="normal", now=now
    )
    rows = []
    for position, path in enumerate(files):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        row = NewMember(
            position=position, custom_id=path.name, job_id=f"{position:032x}", image_sha256=sha256, image=str(path)
        )
        rows.append(row)
    ledger.add_members(batch, rows, refresh=False, count_rehearsals=False, now=now)
    ledger.seal(batch, now)
    ids = [row.job_id for row in rows]
    answer(ledger, ids[:-20])
    return batch.batch_id, ids[-20:]


def answer(ledger: Ledger, ids: list[str]) -> None:
    ledger.start([(one, "e") for one in ids], time.time())
    said = AnswerRow(text="up " * 50, raw={"says": "up"}, prompt_tokens=7, completion_tokens=3, latency_s=0.5)
    ledger.record([Finished(job_id=one, execution_id="e", answer=said) for one in ids], time.time())


def opened(browser: Browser, address: str, *, width: int = 1280) -> Tab:
    tab = browser.open("about:blank", width=width, wait=False)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=_STOPWATCH)
    tab.call("Page.navigate", url=address)
    tab.until("window.painted !== undefined")
    return tab


def scroll(browser: Browser, address: str) -> None:
    """First paint, and sixty jumps and a hundred turns of the wheel through all rows."""
    for width in (1280, 390):
        tab = opened(browser, address, width=width)
        painted_ms = tab.value("painted")
        most, uncovered, filled = 0, 0, []
        for step in range(160):
            if step < 60:
                tab.value(f"scrollTo(0, document.body.scrollHeight * {step / 60})")
            else:
                wheel = {"x": width // 2, "y": 500, "deltaX": 0, "deltaY": 700 if step % 20 else -700}
                tab.call("Input.dispatchMouseEvent", type="mouseWheel", **wheel)
            began = time.perf_counter()
            tab.value("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
            uncovered += tab.value(_UNCOVERED)
            most = max(most, tab.value("document.querySelectorAll('*').length"))
            if step % 10 == 0:
                tab.until("document.querySelectorAll('.cell.coming').length === 0")
                filled.append((time.perf_counter() - began) * 1000)
        print(f"{width} px: painted {painted_ms:.0f} ms after the rows; at most {most} elements; {uncovered} gaps;")
        print(f"  rows of a place jumped to are there: {shown(filled)}")


def keys(browser: Browser, address: str) -> None:
    tab = opened(browser, address)
    tab.value("document.querySelector('.cell button').click()")
    tab.until("document.querySelector('#viewer canvas').width > 1")
    time.sleep(2)
    for number in range(_KEYS - 1):
        tab.press("j")
        time.sleep(_KEY_EVERY_S)
        tab.until(f"took.length > {number}")
    print(f"key to next chart of 1920 x 1080, four a second: {shown(tab.value('took'))}")


def seen(browser: Browser, ledger: Ledger, address: str, waiting: list[str]) -> None:
    """From the ledger to the counts and the card."""
    tab = opened(browser, address)
    tab.value("scrollTo(0, document.body.scrollHeight)")
    tab.until("document.querySelectorAll('.pill.queued').length > 0")
    times = []
    for number, one in enumerate(waiting):
        answer(ledger, [one])
        began = time.perf_counter()
        tab.until(f"document.querySelector('.facts dd')?.textContent.startsWith('{_PICTURES - 19 + number} of')")
        times.append((time.perf_counter() - began) * 1000)
    print(f"a finished job is seen: {shown(times)}, at most {max(times):.0f} ms")


def shown(times_ms: list[float]) -> str:
    ordered = sorted(times_ms)
    return f"median {ordered[len(ordered) // 2]:.0f} ms, p95 {ordered[math.ceil(len(ordered) * 0.95) - 1]:.0f} ms"


if __name__ == "__main__":
    main()
