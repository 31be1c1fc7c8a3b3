"""`postmeter quota`: what an account has left, books and has used."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import MAILS, Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.store.accounts import account_by_name
from postmeter.store.ledger import Entry, entries_of
from postmeter.store.quota import QuotaFacts, book_block, iso, quota_of, set_renewal


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(quota)


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
@click.option("--no-renewal", is_flag=True, help="Do not book it again when it expires.")
@click.option("--key", metavar="TEXT", help="A second booking of the account with the same key does nothing.")
@json_option
@pass_relay
def book(relay: Relay, account: str, units: int, no_renewal: bool, key: str | None, as_json: bool) -> None:
    """Book a block of N mails for an account, and again whenever it expires."""
    now = time.time()
    with relay.store.write() as session:
        account_id = account_by_name(session, account).id
        book_block(session, account_id, units, relay.settings.block, now, renews=not no_renewal, request=key)
        session.expire_all()
        facts = quota_of(session, account_id, now)
    show(as_json, plain(facts), _told(facts))


@quota.command(name="cancel-renewal")
@click.argument("account")
@click.argument("block", type=MAILS, required=False)
@click.option("--resume", is_flag=True, help="Renew again what was not to be renewed.")
@json_option
@pass_relay
def cancel_renewal(relay: Relay, account: str, block: int | None, resume: bool, as_json: bool) -> None:
    """Let a block (without a number: all of the account's) end at its expiry instead of being booked again."""
    now = time.time()
    with relay.store.write() as session:
        account_id = account_by_name(session, account).id
        set_renewal(session, account_id, block, resume, now)
        session.expire_all()
        facts = quota_of(session, account_id, now)
    show(as_json, plain(facts), _told(facts))


@quota.command(name="ledger")
@click.argument("account")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many are listed.")
@json_option
@pass_relay
def show_ledger(relay: Relay, account: str, limit: int, as_json: bool) -> None:
    """Print the last moves of an account's units, newest first."""
    with relay.store.read() as session:
        entries = entries_of(session, account_by_name(session, account).id, limit)
    rows = [(iso(entry.at), entry.kind, _block(entry), f"{entry.units:+,}") for entry in entries]
    show(as_json, plain(entries), table(("At", "Kind", "Block", "Units"), rows) if rows else "Nothing was moved yet.")


def _told(facts: QuotaFacts) -> str:
    lines: list[tuple[str, object]] = [("Left", facts.left), ("Overdraft", facts.overdraft)]
    lines += [("Notice below", facts.threshold)] if facts.threshold else []
    lines += [("Runs out", facts.runs_out)] if facts.runs_out else []
    rows = [(b.id, b.kind, b.size, b.left, b.expires, "yes" if b.renews else "no") for b in facts.blocks]
    blocks = table(("Block", "Kind", "Size", "Left", "Expires", "Renewed"), rows)
    return f"{pairs(lines)}\n\n{blocks}" if facts.blocks else pairs(lines)


def _block(entry: Entry) -> object:
    return "overdraft" if entry.block is None else str(entry.block)
