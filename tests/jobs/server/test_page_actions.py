"""What one does on the page of `serve`, in a real Chromium: dropping, acting, with every key and in every light."""

from pathlib import Path

import pytest
from support.browser import Tab
from support.http_api import png
from support.site import Site, text
from support.stack import eventually

#: Every text that can be seen: its colour against what lies behind it, as WCAG 2 counts contrast.
CONTRASTS = """(() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => top.slice(0, 3).map((one, at) => one * top[3] / 255 + below[at] * (1 - top[3] / 255));
  const light = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((one) => linear(one / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('noscript, :disabled')) continue;
    if (getComputedStyle(element).clipPath !== 'none') continue;
    const below = behind(element);
    const style = getComputedStyle(element);
    const [a, b] = [light(over(rgba(style.color), below)), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const what = `${element.tagName}.${element.className} ${element.textContent.slice(0, 30)}`;
    if (ratio < (large ? 3 : 4.5)) poor.push(`${what} ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""


def press(tab: Tab, label: str) -> None:
    """The button that says so."""
    button = (
        f"[...document.querySelectorAll('main button')].find(b => b.textContent.startsWith({label!r}) && !b.disabled)"
    )
    tab.until(f"(() => {{ const button = {button}; button?.click(); return button !== undefined; }})()")


def agree(tab: Tab, said: str = "") -> None:
    """Whatever the page asks is answered."""
    tab.value(f"window.confirm = () => true; window.prompt = () => {said!r}; 0")


def drop(tab: Tab, *paths: Path) -> None:
    """Files of the desktop, let go over the page."""
    tab.value("document.getElementById('drop').scrollIntoView()")
    at = tab.value(
        "(() => { const box = document.getElementById('drop').getBoundingClientRect();"
        " return [box.left + box.width / 2, box.top + 12]; })()"
    )
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        tab.call("Input.dispatchDragEvent", type=kind, x=at[0], y=at[1], data=data)


@pytest.mark.parametrize("width", [1280, 390])
def test_dropped_charts_are_asked_about_and_seen_to_end(site: Site, width: int) -> None:
    folder = site.user.folder / "dropped"
    folder.mkdir()
    for shade in range(3):
        (folder / f"in-{shade}.png").write_bytes(png(shade))
    (folder / "notes.txt").write_text("no chart")
    single = site.user.folder / "one.png"
    single.write_bytes(png(9))
    tab = site.open("#/new", width=width)
    tab.until("document.getElementById('drop') !== null")
    drop(tab, folder, single)
    tab.until("document.getElementById('drop').textContent.includes('4 pictures (1 other files left out)')")
    tab.value("document.getElementById('prompt').focus()")
    tab.type("Up?")
    press(tab, "Show the plan")
    press(tab, "Ask about 4")
    tab.until("location.hash.startsWith('#/batch/')")
    tab.until("document.querySelectorAll('.cell:not(.coming)').length === 4")
    site.user.answer(str(tab.value("location.hash")).rpartition("/")[2], text="rising")
    tab.until("document.querySelector('.standing .pill')?.textContent === 'completed'")
    tab.until("document.querySelector('.cell p').textContent === 'rising'")
    names = tab.value("[...document.querySelectorAll('.cell h3')].map(h => h.textContent)")
    assert names == ["dropped/in-0.png", "dropped/in-1.png", "dropped/in-2.png", "one.png"]


def test_a_batch_is_paused_resumed_canceled_and_downloaded(site: Site) -> None:
    batch_id = site.submit("a.png", "b.png")
    tab = site.open(f"#/batch/{batch_id}")
    press(tab, "Pause")
    tab.until("document.querySelector('.standing .banner')?.textContent.includes('paused')")
    assert site.user.status(batch_id)["hold"]["reason"] == "paused"
    press(tab, "Resume")
    tab.until("document.querySelector('.standing .pill').textContent === 'in progress'")
    agree(tab)
    press(tab, "Cancel")
    tab.until("document.querySelector('.standing .pill').textContent === 'canceled'")
    assert site.user.status(batch_id)["request_counts"]["canceled"] == 2
    folder = site.user.folder / "downloads"
    site.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    tab.value(
        "(() => { const s = document.querySelector('select[aria-label=\"Download the results\"]'); s.value = 'csv';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    eventually((folder / f"{batch_id}.csv").exists)
    assert "a.png" in (folder / f"{batch_id}.csv").read_text()
    other = site.submit("a.png", prompt="Down?")
    tab.value("document.querySelector('select[aria-label^=Compare]').focus()")
    tab.until(f"document.querySelector('select[aria-label^=Compare] option[value=\"{other}\"]') !== null")
    compare = (
        f"(() => {{ const s = document.querySelector('select[aria-label^=Compare]'); s.value = '{other}';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    tab.call("Runtime.evaluate", expression=compare, userGesture=True)
    place = f"{site.url}batches/{batch_id}/compare?with={other}"
    eventually(lambda: place in [one["url"] for one in site.browser.call("Target.getTargets")["targetInfos"]])


def test_lanes_are_paused_limited_and_resumed(site: Site) -> None:
    batch_id = site.submit("a.png")
    tab = site.open("#/lanes", width=390)
    agree(tab, "30/m")
    press(tab, "Limit")
    tab.until("document.querySelector('#lanes svg').ariaLabel === 'Last hour by the minute: no calls'")
    tab.value("document.querySelector('#lanes button').focus()")
    press(tab, "Pause")
    tab.until("document.querySelector('#lanes .pill').textContent === 'on hold'")
    assert tab.value("document.activeElement.textContent") == "Resume"
    assert site.user.status(batch_id)["hold"]["reason"] == "paused"
    press(tab, "Resume")
    tab.until("document.querySelector('#lanes .pill').textContent === 'open'")
    assert site.user.status(batch_id)["hold"] is None


def test_what_was_read_before_an_act_is_not_shown_after_it(site: Site) -> None:
    site.submit("a.png")
    tab = site.open("#/lanes")
    pill = "document.querySelector('#lanes .pill').textContent"
    tab.until(f"{pill} === 'open'")
    tab.value(
        "(() => { const real = fetch; window.held = []; window.fetch = async (url, options) => {"
        " const answer = await real(url, options);"
        " if (!options.method && String(url).endsWith('/lanes')) await new Promise((go) => held.push(go));"
        " return answer; }; })()"
    )
    tab.until("held.length === 1")
    press(tab, "Pause")
    tab.until(f"{pill} === 'on hold'")
    tab.value("held[0]()")
    tab.until("held.length === 2")  # it has looked at what came, and looks again
    assert tab.value(pill) == "on hold"


def test_a_stages_description_stands_beside_its_conclusion(site: Site) -> None:
    first = site.submit("a.png")
    site.user.answer(first, text="a long red candle")
    second = str(site.user.submit("--from", first, prompt="{text}: buy?")["batch_id"])
    site.user.answer(second, text="no")
    tab = site.open(f"#/batch/{second}")
    tab.until("document.querySelector('.cell:not(.coming) button') !== null")
    tab.value("document.querySelector('.cell button').click()")
    tab.until("document.querySelector('#viewer .source')?.textContent.includes('a long red candle')")
    assert text(tab, "#viewer .said .answer") == "no"
    tab.until("[...document.querySelectorAll('canvas')].every((one) => one.width > 1)")  # of the first stage's chart
    lefts = "['.shot', '.source', '.said'].map((one) => document.querySelector(`#viewer ${one}`).offsetLeft)"
    assert sorted(set(tab.value(lefts))) == tab.value(lefts)


def test_a_field_of_the_answers_is_searched_for(site: Site) -> None:
    batch_id = site.submit("a.png", "b.png")
    site.user.answer(batch_id, text='{"trend": "up"}')
    tab = site.open(f"#/batch/{batch_id}")
    tab.until("document.getElementById('q') !== null")
    for sought, found in (("trend = down", 0), ("trend=up", 2)):
        tab.value(
            f"(() => {{ const q = document.getElementById('q'); q.value = {sought!r};"
            " q.dispatchEvent(new Event('input')); })()"
        )
        tab.until(f"document.getElementById('count').textContent === '{found} charts'")


def give(site: Site, owner: str) -> None:
    """All batches to that key."""
    with site.user.session() as session:
        session.ledger.store.write(lambda tx: tx.execute(f"UPDATE batches SET owner = '{owner}'"))


def test_a_key_sees_the_buttons_that_it_may_press_and_the_next_key_its_own(site: Site) -> None:
    batch_id = site.submit("a.png")
    tab = site.open("#/lanes")
    for name, options, buttons in (("wall", ["--read-only"], []), ("ann", [], ["Pause", "Cancel"])):
        give(site, name)
        key = site.user.run("keys", "create", name, *options).stdout.split()[-1]
        tab.until("document.getElementById('signin').open")
        tab.value(f"document.getElementById('key').value = '{key}'")
        tab.value("document.querySelector('#signin button').click()")
        tab.until(f"document.querySelector('nav .primary').checkVisibility() === {str(bool(buttons)).lower()}")
        tab.until("document.querySelector('#lanes .pill') !== null")
        assert tab.value("document.querySelectorAll('#lanes button').length") == 0
        tab.value(f"location.hash = '#/batch/{batch_id}'")
        tab.until("document.querySelector('.acts select') !== null")
        assert tab.value("[...document.querySelectorAll('.acts button')].map(b => b.textContent)") == buttons
        tab.until("document.querySelector('.cell canvas').width > 1")  # asked for before the batch is the next key's
        tab.value("location.hash = '#/lanes'")
        site.user.run("keys", "revoke", name)
    site.leave()
    site.browser.complaints = [one for one in site.browser.complaints if "status of 401" not in one]


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_against_what_is_behind_it(site: Site, dark: bool) -> None:
    batch_id = site.submit("a.png", "b.png", "c.png")
    rows = site.user.results(batch_id)
    site.user.fail(rows[0]["job_id"])
    site.user.start([rows[1]["job_id"]])
    site.user.run("pause", str(site.user.status(batch_id)["model"]))
    for width in (1280, 390):
        tab = site.open("", width=width, dark=dark)
        for page in ("#/", f"#/batch/{batch_id}", "#/lanes", "#/new"):
            tab.value("document.getElementById('viewer')?.close(); document.querySelector('main').replaceChildren()")
            tab.value(f"location.hash = {page!r}")
            tab.until("document.querySelector('.pill, .ask') !== null")
            if "batch" in page:
                tab.until("document.querySelectorAll('.cell:not(.coming)').length === 3")
                assert tab.value(CONTRASTS) == []
                tab.value("document.querySelector('.cell button').click()")
                tab.until("document.querySelector('#viewer .facts') !== null")
            assert tab.value(CONTRASTS) == [], (page, width)
            assert tab.value("document.documentElement.scrollWidth <= innerWidth"), (page, width)
