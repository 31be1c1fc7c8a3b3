"""`postmeter account`: the customers."""

from __future__ import annotations

import time
from typing import Any

import click

from postmeter.commands.common import DEFAULT, MAILS, Relay, chosen_pool, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.errors import UsageError
from postmeter.quota.block import MOST_MAILS
from postmeter.store import terms
from postmeter.store.accounts import AccountFacts, account_by_name, account_facts, accounts_of, add_account
from postmeter.store.quota import iso
from postmeter.store.secrets import NewPassword
from postmeter.store.terms import POLICIES, set_terms


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(account)


@click.group()
def account() -> None:
    """The customers."""


@account.command()
@click.argument("name")
@click.option("--owner", metavar="EMAIL", required=True, help="Who owns the account; gets a login to the panel.")
@click.option("--agreement", is_flag=True, help="Has a billing agreement: may send beyond the quota.")
@json_option
@pass_relay
def add(relay: Relay, name: str, owner: str, agreement: bool, as_json: bool) -> None:
    """Create an account, its owner and its demo quota."""
    password = NewPassword.generate()
    with relay.store.write() as session:
        added = add_account(session, name, owner, agreement, relay.settings, password, time.time())
    data = {"account": added.account, "owner": added.owner, "password": added.password}
    told = f"{added.password} (shown only now)" if added.password else "as before: this user had a login already"
    show(as_json, data, pairs([("Account", added.account), ("Owner", added.owner), ("Password", told)]))


@account.command(name="set")
@click.argument("name", metavar="ACCOUNT")
@click.option("--threshold", metavar="N", type=MAILS, help="Notice when fewer mails are left; 0: none.")
@click.option("--agreement/--no-agreement", default=None, help="Has a billing agreement.")
@click.option("--overdraft-policy", type=click.Choice([*POLICIES, DEFAULT]), help="Who may send beyond the quota.")
@click.option("--overdraft-cap", metavar="N|default", help="Mails beyond the quota, not invoiced yet; 0: any.")
@click.option("--pool", metavar="NAME|default", help="The source addresses that its mail leaves from.")
@json_option
@pass_relay
def set_account(relay: Relay, /, name: str, as_json: bool, **options: Any) -> None:
    """Change what is agreed with an account."""
    changes = {key: value for key, value in options.items() if value is not None}
    if not changes:
        raise UsageError("say what to change: --threshold, --agreement, --overdraft-policy, --overdraft-cap or --pool")
    if changes.get("overdraft_policy") == DEFAULT:
        changes["overdraft_policy"] = ""
    if "overdraft_cap" in changes:
        changes["overdraft_cap"] = _cap(changes["overdraft_cap"])
    if "pool" in changes:
        changes["pool"] = chosen_pool(relay.settings, changes["pool"])
    with relay.store.write() as session:
        set_terms(session, account_by_name(session, name).id, time.time(), **changes)
        session.expire_all()
        facts = account_facts(session, name)
    show(as_json, plain(facts), _told(facts))


@account.command(name="block")
@click.argument("name", metavar="ACCOUNT")
@click.option("--reason", metavar="TEXT", required=True, help="Why; who tries to send is told.")
@json_option
@pass_relay
def block_account(relay: Relay, name: str, reason: str, as_json: bool) -> None:
    """Refuse all log-ins and messages of an account; what waits in the queue still leaves."""
    with relay.store.write() as session:
        terms.block(session, account_by_name(session, name).id, reason, time.time())
        session.expire_all()
        facts = account_facts(session, name)
    show(as_json, plain(facts), _told(facts))


@account.command(name="unblock")
@click.argument("name", metavar="ACCOUNT")
@json_option
@pass_relay
def unblock_account(relay: Relay, name: str, as_json: bool) -> None:
    """Take an account's mail again."""
    with relay.store.write() as session:
        terms.unblock(session, account_by_name(session, name).id, time.time())
        session.expire_all()
        facts = account_facts(session, name)
    show(as_json, plain(facts), _told(facts))


@account.command(name="show")
@click.argument("name", metavar="ACCOUNT")
@json_option
@pass_relay
def show_account(relay: Relay, name: str, as_json: bool) -> None:
    """Print what is agreed with an account."""
    with relay.store.read() as session:
        facts = account_facts(session, name)
    show(as_json, plain(facts), _told(facts))


@account.command(name="list")
@json_option
@pass_relay
def list_accounts(relay: Relay, as_json: bool) -> None:
    """Print all accounts."""
    with relay.store.read() as session:
        found = accounts_of(session)
    rows = [(a.name, "yes" if a.agreement else "no", a.overdraft, a.threshold, _paid(a), a.blocked) for a in found]
    heads = ("Account", "Agreement", "Overdraft", "Notice below", "First block", "Blocked")
    show(as_json, plain(found), table(heads, rows) if rows else "There are no accounts.")


def _told(facts: AccountFacts) -> str:
    policy = "as configured" if facts.overdraft_policy == DEFAULT else facts.overdraft_policy
    cap = "as configured" if facts.overdraft_cap is None else facts.overdraft_cap or "none"
    lines: list[tuple[str, object]] = [
        ("Account", facts.name),
        *((member.role.capitalize(), member.email) for member in facts.members),
        ("Agreement", "yes" if facts.agreement else "no"),
        ("Notice below", facts.threshold),
        ("Overdraft", facts.overdraft),
        ("Overdraft policy", policy),
        ("Overdraft cap", cap),
        ("First block", _paid(facts)),
        ("Created", iso(facts.created_at)),
    ]
    lines += [("Pool", facts.pool)] if facts.pool else []
    return pairs([*lines, ("Blocked", facts.blocked)] if facts.blocked else lines)


def _paid(facts: AccountFacts) -> str:
    return "none yet" if facts.paid_at is None else iso(facts.paid_at)


def _cap(text: str) -> int | None:
    if text == DEFAULT:
        return None
    try:
        return int(MAILS(text))
    except click.BadParameter:
        raise UsageError(
            f"--overdraft-cap is a number of mails up to {MOST_MAILS:,} or {DEFAULT}, not {text!r}"
        ) from None
