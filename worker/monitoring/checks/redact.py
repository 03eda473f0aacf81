"""Keeping secrets out of what a check says."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.config.settings import Settings
from worker.monitoring.checks.check import Check

#: Shortest secret that is looked for in messages: shorter ones might be part of any word.
_MIN_SECRET_CHARS = 6


def without_secrets(check: Check, settings: Settings) -> Check:
    """The last line of defence: a driver or a server may repeat what it was given."""
    message, todo = check.message, check.todo
    for secret in _secrets(settings):
        message = message.replace(secret, "***")
        todo = todo.replace(secret, "***") if todo else todo
    return replace(check, message=message, todo=todo)


def _secrets(settings: Settings) -> list[str]:
    """Longest first, so that none leaves a part of another one behind."""
    found = {settings.hf_token.get_secret_value()} if settings.hf_token else set()
    for url in (settings.redis_url, settings.results_url):
        if url is not None:
            found |= set(_passwords(url.get_secret_value()))
    return sorted((secret for secret in found if len(secret) >= _MIN_SECRET_CHARS), key=len, reverse=True)


def _passwords(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets in a password that was not encoded; `hide_password` knows such
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    yield from (value for name, value in parse_qsl(parts.query) if "pass" in name.lower())
