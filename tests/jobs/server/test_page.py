"""The page of `serve` in a real Chromium: what it shows is what is, keys go fast, and nothing in a row can act."""

import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from support.browser import Tab
from support.http_api import client_of, png
from support.producer import Producer
from support.site import Site, text
from support.stack import eventually

from jobs.config.settings import Settings

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<a href=\"javascript:document.title='owned'\">x</a>",
    "\u202egnp.exe \u2066 \x1b[31mred",
    '{"<b onclick=x>": ["<script>document.title=1</script>", "\u202e"], "%s": {"a": "\u2067"}}' % ("k" * 10_000),
    "x" * 1_000_000,
)

#: What of a page could act, be loaded, or turn the text around it.
ACTING = r"""(() => {
  const acting = 'main :is(img, script, iframe, [onerror], [onclick], a[href^=java])';
  const turning = /[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/;
  return document.querySelectorAll(acting).length + turning.test(document.body.textContent + document.title);
})()"""


def test_everything_is_ours_and_the_policy_lets_nothing_else_run(tmp_path: Path) -> None:
    with client_of(Settings(chartq_home=tmp_path)) as api:
        index = api.get("/")
        assert "default-src 'self'" in index.headers["content-security-policy"]
        assert "unsafe" not in index.headers["content-security-policy"]
        assert "style=" not in index.text
        assert_assets(api, index.text)
        assert api.get("/page/../app.py").status_code == 404
        assert api.get("/page/__init__.py").status_code == 404


def assert_assets(api: TestClient, index: str) -> None:
    for name in ("app.js", "page.css", "report.css", "icon.svg"):
        assert f"page/{name}" in index
        assert api.get(f"/page/{name}").status_code == 200


def test_a_finished_job_is_seen_in_the_list_within_a_second_and_a_half(site: Site) -> None:
    batch_id = site.submit("a.png", "b.png")
    # A browser has six connections to one server: tabs that nobody looks at hold none.
    tabs = [site.open() for _ in range(7)]
    tab = tabs[-1]
    tab.until("document.querySelector('.batch')?.textContent.includes('0 of 2')")
    site.user.answer(batch_id)
    began = time.monotonic()
    tab.until("document.querySelector('.batch').textContent.includes('2 of 2')")
    took_s = [time.monotonic() - began]
    while min(took_s) > 1.5:  # a busy machine may be late once, the page is not late each time
        assert len(took_s) < 5, took_s
        site.user.answer(site.submit(f"{len(took_s)}.png", prompt="And now?", start=10 + len(took_s)))
        began = time.monotonic()
        tab.until(
            f"[...document.querySelectorAll('.batch')].filter(one => one.textContent.includes('completed')).length"
            f" > {len(took_s)}"
        )
        took_s.append(time.monotonic() - began)
    assert "completed" in text(tab, ".batch .pill")
    assert "completed" not in text(tabs[0], ".batch .pill")
    tabs[0].call("Page.bringToFront")
    tabs[0].until("document.querySelector('.batch')?.textContent.includes('2 of 2')")
    site.user.answer(site.submit("c.png", start=5))  # 7 tokens in and 3 out each, at a price known already
    for many, dollars in ((2, "0.02"), (1, "0.0085")):
        tabs[0].until(
            f"[...document.querySelectorAll('.facts')].some(one => one.textContent.includes('{many} of {many}')"
            f" && one.textContent.includes('≈ ${dollars}'))"
        )


def test_a_batch_is_filtered_searched_and_one_kind_of_error_is_retried(site: Site) -> None:
    batch_id = site.submit("a.png", "b.png", "c.png")
    rows = site.user.results(batch_id)
    site.user.fail(rows[0]["job_id"])
    site.user.answer(batch_id, text="rising")
    tab = site.open(f"#/batch/{batch_id}")
    tab.until("document.querySelectorAll('.cell:not(.coming)').length === 3")
    tab.until("document.querySelector('.cell canvas').width > 1")
    choose(tab, "Show", "failed")
    tab.until("document.querySelectorAll('.cell').length === 1")
    assert text(tab, ".cell h3") == "a.png"
    choose(tab, "Show", "")
    tab.value(
        "(() => { const q = document.getElementById('q'); q.value = 'RISING'; q.dispatchEvent(new Event('input')); })()"
    )
    tab.until("document.querySelectorAll('.cell').length === 2")
    choose(tab, "Kind of error", "ImageError")
    tab.value(
        "(() => { const q = document.getElementById('q'); q.value = ''; q.dispatchEvent(new Event('input')); })()"
    )
    tab.until("document.querySelectorAll('.cell').length === 1")
    tab.until("document.querySelector('.acts')?.textContent.includes('Retry what failed of these')")
    tab.value("[...document.querySelectorAll('.acts button')].find(b => b.textContent.startsWith('Retry')).click()")
    eventually(lambda: site.user.status(batch_id)["request_counts"]["queued"] == 1)


def choose(tab: Tab, label: str, value: str) -> None:
    tab.until(f'document.querySelector(\'select[aria-label="{label}"] option[value="{value}"]\') !== null')
    tab.value(
        f"(() => {{ const s = document.querySelector('select[aria-label=\"{label}\"]'); s.value = '{value}';"
        " s.dispatchEvent(new Event('change')); })()"
    )


def test_a_hundred_charts_are_gone_through_by_keys_without_waiting(site: Site) -> None:
    names = [f"c{number:03}.png" for number in range(101)]
    batch_id = site.submit(*names)
    site.user.answer(batch_id)
    tab = site.open(f"#/batch/{batch_id}")
    tab.until("document.querySelectorAll('.cell:not(.coming)').length > 10")
    tab.value("document.querySelector('.cell button').click()")
    tab.until("document.querySelector('#viewer canvas').width > 1")
    tab.value(
        "window.took = []; document.getElementById('viewer').addEventListener('keydown', () => {"
        " const at = performance.now(); requestAnimationFrame(() => took.push(performance.now() - at)); }, true)"
    )
    for number in range(1, 101):
        tab.press("j" if number % 2 else "ArrowRight")
        tab.until(f"document.querySelector('#viewer h2').textContent === 'c{number:03}.png'")
        tab.until("document.querySelector('#viewer canvas').width > 1")
    tab.press("k")
    tab.until("document.querySelector('#viewer h2').textContent === 'c099.png'")
    tab.value("document.getElementById('viewer').close()")  # one stays at the chart that was looked at last
    tab.until("document.activeElement.textContent.startsWith('c099.png')")
    shown = tab.value("[...document.querySelectorAll('.cell h3')].map(h => h.textContent)")
    assert shown == sorted(shown)
    tab.press("Enter")
    tab.value("document.activeElement.click()")
    took: list[float] = sorted(tab.value("took"))
    assert took[94] < 250, took[-10:]  # 50 ms on an idle machine
    tab.until("document.querySelector('#viewer details') !== null")


def test_what_a_model_or_a_user_said_runs_nowhere(site: Site) -> None:
    names = [f"h{number}<b>{'w' * 150}\u202e.png" for number in range(2 * len(HOSTILE))]
    prompt = " ".join(HOSTILE[:4]) + "w" * 10_000
    batch_id = site.submit(*names, prompt=prompt, name=HOSTILE[0] + HOSTILE[3] + "w" * 300)
    jobs = [row["job_id"] for row in site.user.results(batch_id)]
    for job, said in zip(jobs, HOSTILE + HOSTILE, strict=True):
        site.user.fail(job, type_="<i>" + "E" * 90, message=said) if job in jobs[6:] else answer_one(
            site.user, job, said
        )
    stage = str(site.user.submit("--from", batch_id, prompt="{text}: buy?")["batch_id"])
    for width in (1280, 390):
        tab = site.open("", width=width)
        for page, many in (("#/", 0), (f"#/batch/{batch_id}", 12), (f"#/batch/{stage}", 5), ("#/lanes", 0)):
            tab.value(f"document.querySelector('main').replaceChildren(); location.hash = {page!r}")
            tab.until("document.querySelectorAll('.cell:not(.coming), article').length >= 1")
            for number in range(many):
                tab.press("j")
                tab.until(f"document.querySelector('#viewer .soft').textContent.startsWith('{number + 1} of')")
                assert tab.value("document.querySelector('#viewer').scrollWidth <= innerWidth"), (page, number)
                assert tab.value(ACTING) == 0, (page, number)
            tab.value("document.getElementById('viewer')?.close()")
            assert tab.value("document.documentElement.scrollWidth <= innerWidth"), (page, width)
            assert tab.value(ACTING) == 0, page
            assert str(tab.value("document.title")).endswith("chartq"), "no script of theirs has named the page"


def answer_one(user: Producer, job_id: str, said: str) -> None:
    from jobs.ledger import AnswerRow, Finished

    user.start([job_id])
    with user.session() as session:
        answer = AnswerRow(text=said, raw={"says": said[:100]})
        session.ledger.record([Finished(job_id=job_id, execution_id="e", answer=answer)], time.time())


def test_pictures_are_dropped_the_plan_is_shown_and_the_batch_begins(site: Site) -> None:
    site.user.answer(site.submit("one.png", start=1))
    (site.user.folder / "two.png").write_bytes(png(2))
    tab = site.open("#/new")
    tab.until("document.getElementById('files') !== null")
    node = tab.call("Runtime.evaluate", expression="document.getElementById('files')")["result"]["objectId"]
    paths = [str(site.user.folder / name) for name in ("one.png", "two.png")]
    tab.call("DOM.setFileInputFiles", objectId=node, files=paths)
    tab.until("document.getElementById('drop').textContent.includes('2 pictures')")
    tab.value("document.getElementById('prompt').value = 'Up?'")
    tab.value("document.querySelector('.ask > button').click()")
    tab.until("document.getElementById('confirm') !== null")
    tab.until("document.getElementById('plan').textContent.includes('answered already1calls1')")
    assert len(site.user.run("list", "--json").stdout.splitlines()) == 1
    tab.value("document.getElementById('confirm').click()")
    tab.until("location.hash.startsWith('#/batch/')")
    batch, _ = site.user.run("list", "--json").stdout.splitlines()
    assert '"total":2' in batch.replace(" ", "")


def test_a_key_is_asked_for_and_stays_in_the_tabs_memory(site: Site) -> None:
    key = site.user.run("keys", "create", "ann").stdout.split()[-1]
    tab = site.open()
    tab.until("document.getElementById('signin').open")
    tab.value(f"document.getElementById('key').value = '{key}'")
    tab.value("document.querySelector('#signin button').click()")
    tab.until("document.querySelector('#batches')?.textContent.includes('No batch yet')")
    stored: Any = tab.value(
        "JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie + location.href"
    )
    assert key not in stored
    site.leave()
    site.browser.complaints = [one for one in site.browser.complaints if "status of 401" not in one]
