"""A browser for all tests of the page, and a server for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from support.browser import Browser, chromium
from support.http_api import client_of, served
from support.producer import Producer, producer_in
from support.site import Site


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def site(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with producer_in(tmp_path, monkeypatch) as user, served(user.settings) as url:
        browser.complaints.clear()
        browser.allowed = (url,)
        opened = Site(user, url, browser)
        yield opened
        opened.leave()
        browser.call("Browser.getVersion")
        assert browser.complaints == []


@pytest.fixture
def api(user: Producer) -> Iterator[TestClient]:
    with client_of(user.settings) as client:
        yield client
