"""`postmeter quota` and `postmeter stats`: what an account has left and what became of its mail."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.store.accounts import account_by_name
from postmeter.store.quota import QuotaFacts, book_block, quota_of
from postmeter.store.statistics import totals


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(quota)
    group.add_command(stats)


@click.group()
def quota() -> None:
    """Booked mails."""


@quota.command(name="show")
@click.argument("account")
@json_option
@pass_relay
def show_quota(relay: Relay, account: str, as_json: bool) -> None:
    """Print what an account has left."""
    with relay.store.read() as session:
        facts = quota_of(session, account_by_name(session, account).id, time.time())
    show(as_json, plain(facts), _told(facts))


@quota.command()
@click.argument("account")
@click.argument("units", metavar="N", type=int)
@json_option
@pass_relay
def book(relay: Relay, account: str, units: int, as_json: bool) -> None:
    """Book a block of N mails for an account."""
    now = time.time()
    with relay.store.write() as session:
        account_id = account_by_name(session, account).id
        book_block(session, account_id, units, relay.settings.block, now)
        facts = quota_of(session, account_id, now)
    show(as_json, plain(facts), _told(facts))


@click.command()
@click.argument("account")
@json_option
@pass_relay
def stats(relay: Relay, account: str, as_json: bool) -> None:
    """Print what became of an account's mail, in recipients."""
    with relay.store.read() as session:
        counted = plain(totals(session, account_by_name(session, account).id))
    show(as_json, counted, pairs([(name.capitalize(), number) for name, number in counted.items()]))


def _told(facts: QuotaFacts) -> str:
    lines: list[tuple[str, object]] = [("Left", facts.left), ("Overdraft", facts.overdraft)]
    lines += [("Notice below", facts.threshold)] if facts.threshold else []
    lines += [("Runs out", facts.runs_out)] if facts.runs_out else []
    blocks = table(("Block", "Size", "Left", "Expires"), [(b.kind, b.size, b.left, b.expires) for b in facts.blocks])
    return f"{pairs(lines)}\n\n{blocks}" if facts.blocks else pairs(lines)
