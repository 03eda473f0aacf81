"""The HTML report in a real browser: it opens, obeys, and nothing in a row can act."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from support import results
from support.browser import Browser, chromium

from jobs.core.job import Question, job_id
from jobs.formats import FORMATS, ReportContext, Row
from jobs.formats.compare import write_comparison

QUESTION = Question(prompt="Up or down? </script><script>document.title='prompt'</script>", model="org/model")

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=\"owned\"' x='",
    "<!--<script>",
    "]]> &lt;b&gt; &amp;amp; {{7*7}} ${7*7}",
    "\u202egnp.exe \u2066 مرحبا بالعالم",
    "🚀 émoji \ud800 \x00\x1b[31m\x7f\u2028 line",
    "javascript:document.title='owned'",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def silent(browser: Browser) -> Iterator[None]:
    """Every page stays silent: no error, no refused script or style, no request."""
    browser.complaints.clear()
    yield
    browser.call("Browser.getVersion")
    assert browser.complaints == []


def context(question: Question = QUESTION, name: str = "November") -> ReportContext:
    return results.context(question, name)


def row(number: int, **changes: Any) -> Row:
    own = {"custom_id": f"fx/chart-{number:04d}.png", "text": f"The trend of number {number} is up.", "raw": None}
    counted = {"usage": {"prompt_tokens": 600 + number, "completion_tokens": 20}, "latency_s": 1 + number % 7}
    return results.row(number, **{"prompt": QUESTION.prompt, **own, **counted, **changes})


def failed(number: int, message: str = "The image is too large") -> Row:
    error = {"type": "bad_request", "message": message, "status_code": 422}
    return row(number, status="failed", text=None, usage=None, latency_s=None, error=error)


def report(path: Path, rows: Iterable[Row], of: ReportContext | None = None) -> Path:
    FORMATS["html"].write(rows, path, of or context())
    return path


def test_a_thousand_charts_open_scroll_and_filter_without_choking(browser: Browser, tmp_path: Path) -> None:
    rows = [failed(n) if n % 50 == 0 else row(n) for n in range(1_200)]
    tab = browser.open(report(tmp_path / "report.html", rows))
    assert tab.busy_s() < 5
    assert tab.count == "1,200 charts"
    assert len(tab.names()) == 1_000

    tab.value("document.getElementById('more').scrollIntoView()")
    tab.until("document.querySelectorAll('.card').length === 1200")

    before_s = tab.busy_s()
    tab.value("document.querySelector('[data-filter=failed]').click()")
    assert tab.busy_s() - before_s < 1
    assert tab.count == "24 of 1,200"
    assert tab.names() == [one["custom_id"] for one in rows if one["status"] == "failed"]


def test_search_filter_and_sort_work_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    rows = [row(0), failed(1), row(2, text="A **Head and Shoulders** top", latency_s=9.0), row(3)]
    tab = browser.open(report(tmp_path / "report.html", rows))
    tab.press("/")
    assert tab.value("document.activeElement.id") == "q"
    tab.type("SHOULDERS head")
    tab.until("document.getElementById('count').textContent === '1 of 4'")
    assert tab.names() == ["fx/chart-0002.png"]
    assert tab.value("document.querySelector('.answer strong').textContent") == "Head and Shoulders"
    assert tab.value("CSS.highlights.get('found').size") == 2
    assert tab.value("location.hash") == "#q=SHOULDERS+head"

    tab.press("Escape")
    assert tab.count == "4 charts"
    tab.value("document.querySelector('[data-filter=failed]').click()")
    assert tab.names() == ["fx/chart-0001.png"]
    tab.press("/")
    assert tab.value("document.activeElement.id") == "q", "also from a filter that has the focus"
    tab.value("document.querySelector('[data-filter=\"\"]').click()")
    tab.value("(s => { s.value = 'seconds'; s.dispatchEvent(new Event('change', {bubbles: true})) })(sort)")
    assert tab.names()[0] == "fx/chart-0002.png"
    assert tab.names()[-1] == "fx/chart-0001.png", "what has no latency comes last"
    tab.press("/")
    tab.type("zebra")
    tab.until("document.querySelector('.nothing') !== null")


def test_a_link_to_a_view_opens_that_view(browser: Browser, tmp_path: Path) -> None:
    rows = [row(n, text="rising" if n % 2 else "falling") for n in range(9)]
    tab = browser.open(report(tmp_path / "report.html", rows), "#q=rising&sort=tokens")
    assert tab.names() == [f"fx/chart-{n:04d}.png" for n in (7, 5, 3, 1)]


def test_rows_beyond_the_first_are_found_sorted_and_shown(browser: Browser, tmp_path: Path) -> None:
    rows = [row(n, text="needle < & > \"hay\" 'stack'" if n == 2_345 else f"hay {n}") for n in range(2_400)]
    tab = browser.open(report(tmp_path / "report.html", rows), "#q=" + "needle+%3C+%26+%22hay%22")
    assert tab.names() == ["fx/chart-2345.png"]
    assert tab.value("document.querySelector('.answer').textContent") == "needle < & > \"hay\" 'stack'"
    tab.value("location.hash = '#sort=tokens'")
    tab.until("document.getElementById('count').textContent === '2,400 charts'")
    assert tab.names()[0] == "fx/chart-2399.png"


def test_nothing_in_a_row_can_act(browser: Browser, tmp_path: Path) -> None:
    rows = []
    for number, evil in enumerate(HOSTILE):
        error = {"type": evil, "message": evil, "status_code": None}
        rows.append(row(3 * number, custom_id=f"{evil}/{evil}", text=evil, provider=evil, request_id=evil, image=evil))
        rows.append(row(3 * number + 1, text=json.dumps({evil: evil, "list": [evil]}), custom_id=evil))
        rows.append(row(3 * number + 2, status="failed", text=None, error=error, custom_id=evil))
    standing = tmp_path / "report.html"
    report(standing, [*rows, *(row(n) for n in range(1_000)), *rows], context(name=HOSTILE[1]))
    tab = browser.open(standing, "#sort=name")
    tab.until("document.querySelectorAll('.card').length >= 200")
    tab.value("dispatchEvent(new Event('beforeprint'))")
    tab.until(f"document.querySelectorAll('.card').length === {1_000 + 2 * len(rows)}")
    assert tab.value("document.title") == f"{HOSTILE[1]} · chartq"
    assert tab.value("document.querySelectorAll('body script').length") == 1
    assert tab.value("document.querySelectorAll('img, [onerror], [onmouseover], a:not(.skip)').length") == 0
    assert tab.value("document.querySelector('h1').textContent") == HOSTILE[1]
    shown = tab.value("[...document.querySelectorAll('.answer')].map(one => one.textContent)")
    assert shown.count(HOSTILE[2]) == 2


def test_a_page_that_is_not_ours_is_refused_by_the_policy(browser: Browser, tmp_path: Path) -> None:
    path = report(tmp_path / "report.html", [row(1)])
    evil = "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x.png'></main>"
    path.write_text(path.read_text("utf-8").replace("</main>", evil), "utf-8")
    tab = browser.open(path)
    assert tab.value("document.title") == "November · chartq"
    browser.call("Browser.getVersion")
    assert len([one for one in browser.complaints if "Content Security Policy" in one]) >= 2
    browser.complaints.clear()


def test_pictures_are_shown_and_missing_ones_say_why(browser: Browser, tmp_path: Path) -> None:
    rows = []
    for number, name in enumerate(("kept.png", "changed.png", "gone.png", "broken.png")):
        chart = tmp_path / name
        image = Image.new("P" if number % 2 else "RGB", (900, 600), 7 if number % 2 else "navy")
        ImageDraw.Draw(image).line([(0, 590), (899, 10)], fill=200 if number % 2 else "orange", width=9)
        image.save(chart)
        digest = hashlib.sha256(chart.read_bytes()).hexdigest()
        rows.append(row(number, custom_id=name, image=str(chart), job_id=job_id(digest, QUESTION.id)))
    with (tmp_path / "changed.png").open("ab") as file:
        file.write(b"!")
    (tmp_path / "gone.png").unlink()
    (tmp_path / "broken.png").write_bytes(b"not an image")
    tab = browser.open(report(tmp_path / "report.html", rows))
    tab.until("document.images.length === 1 && document.images[0].complete")
    assert tab.value("document.images[0].naturalWidth") == 432
    reasons = tab.value("[...document.querySelectorAll('.missing span')].map(one => one.textContent)")
    assert "changed" in reasons[0]
    assert "No such file" in reasons[1]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen_and_can_be_read_on_it(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    rows = [row(1, text="x" * 3_000, custom_id="y" * 200), failed(2), row(3, text='{"trend": "up", "levels": [1, 2]}')]
    tab = browser.open(report(tmp_path / "report.html", rows), width=width, dark=dark)
    assert tab.value("document.documentElement.scrollWidth") <= width
    for selector in ("body", ".error", ".pill.finished", ".small", ".facts dt", ".missing", ".filters b", ".fold"):
        assert tab.value(f"({_CONTRAST})({selector!r})") >= 4.5, selector
    controls = "[...document.querySelectorAll('button, input, select')]"
    unlabelled = f"{controls}.filter(one => !one.labels?.length && !one.ariaLabel && !one.textContent).length"
    assert tab.value(unlabelled) == 0


#: Contrast ratio of an element's text (WCAG 2.2) to the nearest background that is not transparent.
_CONTRAST = """selector => {
  const dot = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const canvas = dot.getContext("2d", { willReadFrequently: true });
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const element = document.querySelector(selector);
  let behind = element;
  while (rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(c => light(rgb(c)));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_light_and_dark_can_be_switched(browser: Browser, tmp_path: Path) -> None:
    tab = browser.open(report(tmp_path / "report.html", [row(1)]), dark=True)
    background = "getComputedStyle(document.body).backgroundColor"
    dark = tab.value(background)
    tab.value("document.getElementById('theme').click()")
    assert tab.value(background) != dark
    tab.value("localStorage.clear()")


def test_long_answers_unfold(browser: Browser, tmp_path: Path) -> None:
    tab = browser.open(report(tmp_path / "report.html", [row(1, text="A long answer.\n" * 40)]))
    height = "document.querySelector('.answer').clientHeight"
    folded = tab.value(height)
    tab.value("document.querySelector('.fold').click()")
    assert tab.value(height) > 2 * folded
    assert tab.value("document.querySelector('.fold').ariaExpanded") == "true"


def test_rehearsed_answers_are_marked(browser: Browser, tmp_path: Path) -> None:
    rows = [
        row(1, text="[rehearsal] Not a model's answer."),
        row(2, text="{}", raw={"system_fingerprint": "chartq-rehearsal"}),
    ]
    tab = browser.open(report(tmp_path / "report.html", rows))
    assert "no model has seen the charts" in tab.value("document.querySelector('.banner').textContent")
    assert tab.value("document.querySelectorAll('.card .pill.rehearsal').length") == 2


def test_an_empty_batch_says_so(browser: Browser, tmp_path: Path) -> None:
    tab = browser.open(report(tmp_path / "report.html", []))
    assert "No rows" in tab.value("document.querySelector('.nothing').textContent")


def test_two_batches_stand_side_by_side(browser: Browser, tmp_path: Path) -> None:
    other = Question(prompt=QUESTION.prompt, model="org/other")
    path = tmp_path / "comparison.html"
    a = [row(1, text="The trend is up."), row(2, text="Same  words"), row(3), row(5, text=HOSTILE[1])]
    b = [
        failed(3),
        row(2, text="same words"),
        row(1, text="The trend is <i>down</i>."),
        row(4),
        row(5, text=HOSTILE[2]),
    ]
    counts = write_comparison(a, b, context(), context(other), path, "html")
    assert counts == {"differ": 2, "same": 1, "one": 2}
    tab = browser.open(path)
    assert tab.names() == [f"fx/chart-{n:04d}.png" for n in (1, 2, 3, 5, 4)]
    assert tab.value("[...document.querySelectorAll('.card:first-child mark')].map(m => m.textContent)") == [
        "up",
        "<i>down</i>",
    ]
    tab.value("document.querySelector('[data-filter=same]').click()")
    assert tab.names() == ["fx/chart-0002.png"]
    assert tab.value("document.title") == "org/model and org/other · chartq"
