"""`chartq doctor`: what was checked, for people or as JSON."""

import sys
from dataclasses import asdict

import click

from jobs.cli.console import is_fancy
from jobs.cli.options import json_option
from jobs.cli.output import print_data
from jobs.core.text import MESSAGE_CHARS, dumps, label, one_line
from worker.monitoring.checks.check import Check
from worker.monitoring.doctor import examine


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


def _print_check(check: Check) -> None:
    fancy = is_fancy(sys.stdout)
    mark, word, colour = _MARKS[check.ok]
    sign, indent = (click.style(mark, fg=colour), " " * 2) if fancy else (f"{word:<4}", " " * 5)
    first, *more = (label(line, MESSAGE_CHARS) for line in check.message.splitlines() or [""])
    arrow = "→" if fancy else "->"
    todo = [f"{arrow} {one_line(check.todo)}"] if check.todo else []
    print_data(f"{sign} {check.name}: {first}")
    for line in [*more, *todo]:
        print_data(indent + line)
    sys.stdout.flush()  # the next check may take its time


#: For terminals, for pipes; and the colour.
_MARKS: dict[bool | None, tuple[str, str, str]] = {
    True: ("✓", "ok", "green"),
    False: ("✗", "FAIL", "red"),
    None: ("!", "warn", "yellow"),
}
