"""`chartq doctor`: is everything there that a run needs, and if not, what to do.

Every check ends within seconds, whatever it meets, and the others go on; none costs money.
"""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.config.settings import Settings
from jobs.core.errors import SettingsError
from worker.hf.from_settings import client_config, token_origin, worker_settings
from worker.hf.saved_token import saved_token
from worker.hf.scrub import Scrubber
from worker.hf.transport import Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.hf_token import check_token
from worker.monitoring.checks.local import check_chart_root, check_home, check_settings
from worker.monitoring.checks.provider import check_endpoint, check_model, reach
from worker.monitoring.checks.stores import REDIS_LIMIT_S, check_redis, check_store
from worker.monitoring.checks.timeout import NETWORK_TIMEOUT_S, bounded
from worker.monitoring.logging_setup import configure_logging


def examine() -> Iterator[Check]:
    """All checks, each as soon as it is known."""
    try:
        settings = worker_settings()
    except SettingsError as error:
        yield Check("settings", False, str(error), "Correct the variable, or its line in .env.")
        return
    configure_logging("ERROR", settings.log_format)  # what the queue's client would warn of is a check here
    for check in _examine(settings):
        yield _without_secrets(check, settings)


def _examine(settings: Settings) -> Iterator[Check]:
    yield check_settings(settings)
    yield from bounded("home", lambda: [check_home(settings)])
    yield from bounded("redis", lambda: check_redis(settings), limit_s=REDIS_LIMIT_S)
    yield from bounded("store", lambda: [check_store(settings)])
    yield from bounded("chart_root", lambda: [check_chart_root(settings.chart_root)])
    yield from _examine_provider(settings)


def _examine_provider(settings: Settings) -> Iterator[Check]:
    config = replace(client_config(settings), timeout=NETWORK_TIMEOUT_S, model_id=settings.vision_model)
    transport = Transport(token=config.api_key)
    try:
        reached = reach(config, transport)
        yield check_endpoint(config, reached)
        yield from bounded("token", lambda: [_named(check_token(settings, config, reached, transport))])
        yield from bounded("model", lambda: [check_model(config, reached, transport)])
    finally:
        transport.close()


def _named(check: Check) -> Check:
    """With where the token comes from, there are seven places; without one, with the file that was looked at."""
    if origin := token_origin():
        return replace(check, message=f"{check.message} (the token: {origin})")
    saved = saved_token()
    if str(saved.path) in check.message:
        return check
    return replace(check, message=f"{check.message} ({saved.path} {saved.problem or 'holds none'})")


def _without_secrets(check: Check, settings: Settings) -> Check:
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
