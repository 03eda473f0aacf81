"""`keys`: who may use the HTTP API."""

import time
from typing import Any

import click
from rich.table import Table

from jobs.batches.session import Session
from jobs.cli.console import print_table
from jobs.cli.options import json_option
from jobs.cli.output import print_data, say
from jobs.config.settings import producer_settings
from jobs.core.errors import InputError
from jobs.core.text import dumps, label
from jobs.core.time_text import clock, iso
from jobs.ledger.api_keys import ApiKey

_NAME_CHARS = 100


@click.group()
def keys() -> None:
    """Keys of the HTTP API. With one or more, `chartq serve` answers nobody without; each sees what it made.

    \b
    Example: chartq keys create ann
             chartq keys revoke ann
    """


@keys.command()
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It may look, and neither submit nor change anything.")
def create(name: str, read_only: bool) -> int:
    """Make a key and print it, this once: only its hash is kept.

    A new key of an old name sees what the old one made. A name may have a read-only key beside the one that acts: it
    sees the same.

    \b
    Example: chartq keys create ann
    """
    if name != name.strip() or len(name) > _NAME_CHARS or not name.isprintable():
        raise InputError(
            f"{name!r} is no name for a key: at most {_NAME_CHARS} characters that can be shown, no space around it"
        )
    with Session(producer_settings()) as session:
        key = session.ledger.create_api_key(name, read_only=read_only, now=time.time())
    print_data(key)
    say("shown this once; send it as Authorization: Bearer KEY")
    return 0


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> int:
    """List the keys: their names, not themselves.

    \b
    Example: chartq keys list
    """
    with Session(producer_settings()) as session:
        listed = session.ledger.api_keys()
    if as_json:
        for key in listed:
            print_data(dumps(_document(key)))
        return 0
    if not listed:
        say("there is no key yet; make one: chartq keys create NAME")
        return 0
    table, now = Table(box=None), time.time()
    for column in ("name", "id", "may", "created", "revoked"):
        table.add_column(column, no_wrap=True)
    for key in listed:
        may = "read" if key.read_only else "all"
        revoked = "-" if key.revoked_at is None else clock(key.revoked_at, now)
        table.add_row(label(key.name), key.key_id, may, clock(key.created_at, now), revoked)
    print_table(table)
    return 0


def _document(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.key_id,
        "read_only": key.read_only,
        "created_at": iso(key.created_at),
        "revoked_at": iso(key.revoked_at),
    }


@keys.command()
@click.argument("name")
def revoke(name: str) -> int:
    """Take a name's keys back: within a second they open nothing any more. What was made with them stays.

    \b
    Example: chartq keys revoke ann
    """
    with Session(producer_settings()) as session:
        revoked = session.ledger.revoke_api_key(name, time.time())
    opens = f"the key {name} opens" if revoked == 1 else f"the {revoked} keys {name} open"
    say(f"{opens} nothing any more")
    return 0
