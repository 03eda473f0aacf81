"""Keeping secrets out of what a check says."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.config.settings import Settings
from worker.hf.scrub import Scrubber
from worker.monitoring.checks.check import Check


def without_secrets(check: Check, settings: Settings) -> Check:
    """The last line of defence: a driver or a server may repeat what it was given."""
    clean = Scrubber(*_secrets(settings)).text
    return replace(check, message=clean(check.message), todo=clean(check.todo) if check.todo else check.todo)


def _secrets(settings: Settings) -> set[str]:
    found = {settings.hf_token.get_secret_value()} if settings.hf_token else set()
    for url in (settings.redis_url, settings.results_url):
        if url is not None:
            found |= set(_passwords(url.get_secret_value()))
    return found


def _passwords(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets in a password that was not encoded; `hide_password` knows such
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    yield from (value for name, value in parse_qsl(parts.query) if "pass" in name.lower())
