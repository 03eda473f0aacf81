"""A real Chromium, driven by its DevTools protocol over a pipe: no driver, no port, no library."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.stack import PATIENCE_S

#: Chromium reads commands from descriptor 3 and answers on 4.
_LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--window-size=1280,900",
)


class Browser:
    """One Chromium, and what its pages complained of."""

    def __init__(self, program: str, folder: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (ours[0], theirs[1])]
        command = [sys.executable, "-c", _LAUNCHER, *map(str, high), program, *_FLAGS, f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(command, pass_fds=high, stderr=subprocess.DEVNULL, start_new_session=True)
        for fd in (*high, ours[0], theirs[1]):
            os.close(fd)
        self._to, self._from = ours[1], theirs[0]
        self._read = b""
        self._last = 0
        self.complaints: list[str] = []
        #: What pages may load; all else is a complaint.
        self.allowed: tuple[str, ...] = ("file:", "data:")

    def close(self) -> None:
        self._send("Browser.close")
        os.close(self._to)
        self._process.wait(PATIENCE_S)
        os.close(self._from)

    def open(
        self, place: Path | str, fragment: str = "", *, width: int = 1280, dark: bool = False, wait: bool = True
    ) -> "Tab":
        """A new tab that has loaded the file, or the address."""
        address = place if isinstance(place, str) else place.as_uri()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            tab.call(f"{domain}.enable", **({"timeDomain": "threadTicks"} if domain == "Performance" else {}))
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tab.call("Emulation.setEmulatedMedia", features=scheme)
        tab.call("Page.navigate", url=address + fragment)
        if wait:
            tab.until("document.readyState === 'complete' && document.querySelector('main') !== null")
        return tab

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = self._send(method, session, **params)
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._listen(message)

    def _send(self, method: str, session: str | None = None, **params: Any) -> int:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        return self._last

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            assert select.select([self._from], [], [], PATIENCE_S)[0], "the browser doesn't answer"
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has left"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        read: dict[str, Any] = json.loads(message)
        return read

    def _listen(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" or (method == "Runtime.consoleAPICalled" and params["type"] != "log"):
            self.complaints.append(json.dumps(params))
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(self.allowed):
            self.complaints.append(f"asked the network for {params['request']['url']}")


class Tab:
    """A page of the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is."""
        answer = self._evaluated(expression)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until the expression is true; it may name an element that is not there yet."""
        deadline = time.monotonic() + PATIENCE_S
        while "exceptionDetails" in (answer := self._evaluated(expression)) or not answer["result"].get("value"):
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {expression}\n{answer}\n{self.value('document.body.innerText')}")
            time.sleep(0.02)

    def _evaluated(self, expression: str) -> dict[str, Any]:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def names(self) -> list[str]:
        """The charts shown, in order."""
        shown: list[str] = self.value("[...document.querySelectorAll('.card h2')].map(h => h.textContent)")
        return shown

    def busy_s(self) -> float:
        """Seconds of work that the page has cost its main thread so far; a slow machine's other work isn't counted."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    @property
    def count(self) -> str:
        return str(self.value("document.getElementById('count').textContent"))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A Chromium of its own; without one the test is skipped, under CI it fails."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        assert not os.environ.get("CI"), "CI needs Chromium: apt-get install -y chromium"
        pytest.skip("no Chromium here")
    opened = Browser(program, profile)
    opened.call("Browser.getVersion")
    try:
        yield opened
    finally:
        opened.close()
