"""`chartq doctor`: is everything there that a run needs, and if not, what to do.

Every check ends within seconds, whatever it meets, and the others go on; none costs money.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace

import click

from jobs.cli.options import json_option
from jobs.cli.output import dumps, print_data
from jobs.config.settings import Settings, load_settings
from jobs.core.errors import SettingsError
from worker.engine.factory import client_config
from worker.hf.transport import Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.hf_token import check_hub_token, check_token
from worker.monitoring.checks.local import check_chart_root, check_home, check_settings
from worker.monitoring.checks.provider import check_endpoint, check_model, reach
from worker.monitoring.checks.redact import without_secrets
from worker.monitoring.checks.stores import REDIS_LIMIT_S, check_redis, check_store
from worker.monitoring.checks.timeout import NETWORK_TIMEOUT_S, bounded
from worker.monitoring.logging_setup import configure_logging

#: The command, and the checks that it puts together.
__all__ = [
    "Check",
    "bounded",
    "check_chart_root",
    "check_endpoint",
    "check_home",
    "check_hub_token",
    "check_model",
    "check_redis",
    "check_store",
    "check_token",
    "doctor",
    "examine",
    "reach",
]


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check settings, Redis, results store, endpoint, token, model and folders, and say what to do.

    Exits with 1 if something is wrong; hints (!) don't count. Costs nothing.

    \b
    Example: chartq doctor
    """
    checks: list[Check] = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _print_check(check)
    ok = all(check.ok is not False for check in checks)
    if as_json:
        print_data(dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
    return 0 if ok else 1


def examine() -> Iterator[Check]:
    """All checks, each as soon as it is known."""
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Check("settings", False, str(error), "Correct the variable, or its line in .env.")
        return
    configure_logging("ERROR", settings.log_format)  # what the queue's client would warn of is a check here
    for check in _examine(settings):
        yield without_secrets(check, settings)


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
        yield from bounded("token", lambda: [check_token(settings, config, reached, transport)])
        yield from bounded("model", lambda: [check_model(config, reached, transport)])
    finally:
        transport.close()


def _print_check(check: Check) -> None:
    fancy = _is_fancy()
    mark, word, colour = _MARKS[check.ok]
    sign, indent = (click.style(mark, fg=colour), " " * 2) if fancy else (f"{word:<4}", " " * 5)
    first, *more = check.message.splitlines() or [""]
    arrow = "→" if fancy else "->"
    todo = [f"{arrow} {check.todo}"] if check.todo else []
    print_data(_encodable(f"{sign} {check.name}: {first}"))
    for line in [*more, *todo]:
        print_data(_encodable(indent + line))
    sys.stdout.flush()  # the next check may take its time


#: For terminals, for pipes; and the colour.
_MARKS: dict[bool | None, tuple[str, str, str]] = {
    True: ("✓", "ok", "green"),
    False: ("✗", "FAIL", "red"),
    None: ("!", "warn", "yellow"),
}


def _is_fancy() -> bool:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and utf8 and not plain


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
