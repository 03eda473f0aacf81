"""A browser for all tests of the page, and a server for each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from support.browser import Browser, chromium
from support.http_api import client_of, served
from support.producer import Producer, producer_in
from support.site import Site

from jobs.core.money import Price
from jobs.server import auth
from jobs.server.backend import Services


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def site(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    services = Services(prices_of=lambda _settings, _question: [Price(input_usd_per_m=1000.0, output_usd_per_m=500.0)])
    with producer_in(tmp_path, monkeypatch) as user, served(user.settings, services=services) as url:
        browser.complaints.clear()
        browser.allowed = (url,)
        opened = Site(user, url, browser)
        yield opened
        opened.leave()
        browser.call("Browser.getVersion")
        assert browser.complaints == []


@pytest.fixture(autouse=True)
def _keys_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_FRESH_S", 0.0)


@pytest.fixture
def api(request: pytest.FixtureRequest, user: Producer) -> Iterator[TestClient]:
    """An app that reads the charts of the user's folder, with the SERVICES of the test's module."""
    settings = replace(user.settings, chart_root=user.folder)
    with client_of(settings, services=getattr(request.module, "SERVICES", None)) as client:
        yield client
