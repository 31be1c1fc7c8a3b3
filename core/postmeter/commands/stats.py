"""`postmeter stats`: what became of an account's mail, altogether or in parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click
from sqlalchemy.orm import Session

from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.store import statistics
from postmeter.store.accounts import account_by_name
from postmeter.store.connections import connections_of
from postmeter.store.statistics import DAY, Share, Totals

HEADS = [field.name for field in fields(Totals)]
UNKNOWN = "(not known)"

Named = tuple[str, Totals]


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(stats)


@click.command()
@click.argument("account")
@click.option("--by", type=click.Choice(["provider", "domain", "connection"]), help="In parts, instead of the sum.")
@click.option("--days", metavar="N", type=click.IntRange(1, 100_000), help="Of the last N days only.")
@json_option
@pass_relay
def stats(relay: Relay, account: str, by: str | None, days: int | None, as_json: bool) -> None:
    """Print what became of an account's mail, in recipients."""
    since = time.time() - days * DAY if days else None
    with relay.store.read() as session:
        account_id = account_by_name(session, account).id
        if by is not None:
            _show_parts(by, PARTS[by](session, account_id, since), as_json)
            return
        counted = plain(statistics.totals(session, account_id, since))
    show(as_json, counted, pairs([(name.capitalize(), number) for name, number in counted.items()]))


def _show_parts(by: str, parts: list[Named], as_json: bool) -> None:
    rows = [(name or UNKNOWN, *(getattr(totals, head) for head in HEADS)) for name, totals in parts]
    heads = [by.capitalize(), *(head.capitalize() for head in HEADS)]
    data: list[dict[str, Any]] = [{by: name, **plain(totals)} for name, totals in parts]
    show(as_json, data, table(heads, rows) if rows else "Nothing was counted.")


def _by_connection(session: Session, account_id: int, since: float | None) -> list[Named]:
    names = {connection.id: connection.name for connection in connections_of(session, account_id)}
    shares = statistics.by_connection(session, account_id, since)
    return [(names.get(share.of, f"number {share.of}"), share.totals) for share in shares]


def _named(shares: list[Share[str]]) -> list[Named]:
    return [(share.of, share.totals) for share in shares]


PARTS: dict[str, Callable[[Session, int, float | None], list[Named]]] = {
    "provider": lambda *asked: _named(statistics.by_provider(*asked)),
    "domain": lambda *asked: _named(statistics.by_domain(*asked)),
    "connection": _by_connection,
}
