"""`postmeter account`: the customers."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, show
from postmeter.store.accounts import add_account
from postmeter.store.secrets import NewPassword


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
