"""The page of `serve` as a browser sees it."""

from dataclasses import dataclass, field

from support.browser import Browser, Tab
from support.http_api import png
from support.producer import Producer


@dataclass
class Site:
    """A server in this process that a browser reaches, and its user."""

    user: Producer
    url: str
    browser: Browser
    tabs: list[Tab] = field(default_factory=list)

    def submit(self, *names: str, prompt: str = "Up?", name: str = "", start: int = 0) -> str:
        paths = [self.user.folder / one for one in names]
        for shade, path in enumerate(paths, start):
            path.write_bytes(png(shade))
        return str(self.user.submit(*paths, *(["--name", name] if name else []), prompt=prompt)["batch_id"])

    def open(self, page: str = "", *, width: int = 1280, dark: bool = False) -> Tab:
        tab = self.browser.open(self.url, page, width=width, dark=dark)
        self.tabs.append(tab)
        return tab

    def leave(self) -> None:
        """Tabs that stayed would come back to a server that has gone."""
        for tab in self.tabs:
            tab.call("Page.navigate", url="about:blank")
            tab.until("location.href === 'about:blank'")


def text(tab: Tab, selector: str) -> str:
    return str(tab.value(f"document.querySelector({selector!r})?.textContent ?? ''"))
