"""`postmeter key`: the DKIM keys of customers and of the operator, and new ones in their place."""

from __future__ import annotations

import time

import click
from sqlalchemy.orm import Session

from postmeter.commands.common import Relay, pass_relay
from postmeter.commands.domains import published
from postmeter.console import json_option, plain, show
from postmeter.errors import UsageError
from postmeter.message.signature import ED25519, RSA
from postmeter.store import domains, rotation
from postmeter.store.accounts import account_by_name
from postmeter.store.domains import NewKey
from postmeter.store.quota import iso
from postmeter.store.rotation import KeyFacts

of_account = click.option("--account", metavar="NAME", help="Of this account; without it the operator's own.")


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(key)


@click.group()
def key() -> None:
    """DKIM keys: those of an account's domains, and the operator's own, which sign every message in addition."""


@key.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--ed25519", is_flag=True, help="An Ed25519 key instead of RSA.")
@json_option
@pass_relay
def add(relay: Relay, name: str, ed25519: bool, as_json: bool) -> None:
    """Make a DKIM key for the operator's DOMAIN, which signs at once, and print the record to publish."""
    new = NewKey.generate(ED25519 if ed25519 else RSA)
    with relay.store.write() as session:
        record = domains.add_operator_key(session, relay.secrets, name, new, time.time())
    show(
        as_json,
        {"domain": domains.clean_domain(name), "records": [plain(record)]},
        f"Publish:\n\n{published([record])}",
    )


@key.command()
@click.argument("name", metavar="DOMAIN")
@of_account
@click.option("--ed25519", is_flag=True, help="The Ed25519 key instead of the RSA one; or one in addition.")
@json_option
@pass_relay
def rotate(relay: Relay, name: str, account: str | None, ed25519: bool, as_json: bool) -> None:
    """Make a new DKIM key for DOMAIN and print its record; it takes over by itself once that is published."""
    domain, new = domains.clean_domain(name), NewKey.generate(ED25519 if ed25519 else RSA)
    with relay.store.write() as session:
        owner = _owner(session, account, domain)
        record = rotation.rotate(session, relay.secrets, owner, domain, new, time.time())
    told = f"Publish in addition to what is there:\n\n{published([record])}\n\n"
    told += (
        "The relay looks for it and then signs with the new key; `postmeter key list` says when. Leave the old record."
    )
    show(as_json, {"domain": domain, "selector": new.selector, "records": [plain(record)]}, told)


@key.command()
@click.argument("name", metavar="DOMAIN")
@click.argument("selector")
@of_account
@json_option
@pass_relay
def cancel(relay: Relay, name: str, selector: str, account: str | None, as_json: bool) -> None:
    """Forget a new key that waits for its record; the one before goes on."""
    domain = domains.clean_domain(name)
    with relay.store.write() as session:
        rotation.cancel(session, _owner(session, account, domain), domain, selector)
    show(as_json, {"domain": domain, "selector": selector}, f"The key {selector} of {domain} is forgotten.")


@key.command(name="list")
@of_account
@json_option
@pass_relay
def list_keys(relay: Relay, account: str | None, as_json: bool) -> None:
    """Print the keys: which sign, which wait for their record, and when a retired one's record may be removed."""
    with relay.store.read() as session:
        owner = account_by_name(session, account).id if account is not None else None
        found = rotation.keys_of(session, owner)
    show(as_json, plain(found), "\n".join(map(_told, found)) or "There is no key.")


def _owner(session: Session, account: str | None, domain: str) -> int | None:
    """Whose key it is: the account's number, or None for the operator."""
    if account is None:
        return None
    owner = account_by_name(session, account)
    if domains.domain_of(session, owner.id, domain) is None:
        raise UsageError(f"the account {owner.name!r} has no domain {domain}; add it with `postmeter domain add`")
    return owner.id


def _told(key: KeyFacts) -> str:
    line = f"{key.state.ljust(8)} {key.record.name}  {key.algorithm}"
    if key.state == "retired" and key.removable_at is not None:
        return f"{line}  (its record may be removed at {iso(key.removable_at)})"
    return f"{line}  (since {iso(key.activated_at or key.created_at)})"
