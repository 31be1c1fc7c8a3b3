"""`postmeter connection`: the customers' accesses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import click

from postmeter.commands.common import MAILS, Relay, chosen_pool, handled, pass_relay
from postmeter.commands.queue_verbs import BY
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.endpoint import Endpoint
from postmeter.errors import UsageError
from postmeter.message.handling import PRIORITIES
from postmeter.store import connections, pauses
from postmeter.store.accounts import account_by_name
from postmeter.store.connection_changes import SecretRequest, issue, mark
from postmeter.store.connections import (
    Caps,
    ConnectionFacts,
    access,
    add_connection,
    caps_of,
    connection_by_name,
    set_caps,
)
from postmeter.store.handling import handling_of, lifetime_of, priority_of, set_handling
from postmeter.store.pools import set_pool
from postmeter.store.quota import iso
from postmeter.store.secrets import new_token

CAPS = tuple(field.name for field in fields(Caps))
TLS = ("required", "opportunistic")
WISHES: Mapping[str, tuple[str, Callable[[str], Any]]] = {  # what of the handling an option sets, and to what
    "priority": ("priority", priority_of),
    "lifetime": ("lifetime", lifetime_of),
    "tls": ("tls_required", "required".__eq__),
}


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(connection)


@click.group()
def connection() -> None:
    """The customers' accesses."""


@connection.command()
@click.argument("account")
@click.argument("name")
@click.option(
    "--domain", "domains", metavar="DOMAIN", multiple=True, required=True, help="May send from it; repeatable."
)
@json_option
@pass_relay
def add(relay: Relay, account: str, name: str, domains: tuple[str, ...], as_json: bool) -> None:
    """Create an access and print what a shop's settings need."""
    with relay.store.write() as session:
        customer = account_by_name(session, account)
        added = add_connection(session, relay.secrets, customer, name, domains, time.time())
        granted = access(session, added.username)
    lines = [("Inactive", granted.reason)] if granted and granted.reason else []
    _show_access(relay, as_json, added.username, added.password, lines)


@connection.command(name="set")
@click.argument("account")
@click.argument("name")
@click.option("--per-hour", metavar="N", type=MAILS, help="Recipients in a clock hour; 0: any number.")
@click.option("--per-day", metavar="N", type=MAILS, help="Recipients in a day (UTC); 0: any number.")
@click.option("--per-month", metavar="N", type=MAILS, help="Recipients in a month (UTC); 0: any number.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="Of its messages.")
@click.option("--lifetime", metavar="TIME", help="Until its messages expire: 600, 10m, 2h or 3d; 0: the setting.")
@click.option("--tls", type=click.Choice(TLS), help="Whether its messages may leave in clear.")
@click.option("--pool", metavar="NAME|default", help="The source addresses that its mail leaves from.")
@json_option
@pass_relay
def set_connection(relay: Relay, /, account: str, name: str, as_json: bool, **options: Any) -> None:
    """Limit how much an access may submit, and say how its messages are handled and where they leave from."""
    changes = {key: value for key, value in options.items() if value is not None}
    if not changes:
        raise UsageError(f"say what to change: {', '.join('--' + key.replace('_', '-') for key in options)}")
    caps = {key: value for key, value in changes.items() if key in CAPS}
    wishes = {key: parse(changes[option]) for option, (key, parse) in WISHES.items() if option in changes}
    wanted = chosen_pool(relay.settings, changes["pool"]) if "pool" in changes else None
    with relay.store.write() as session:
        found = connection_by_name(session, account_by_name(session, account), name)
        set_caps(session, found, replace(caps_of(found), **caps))
        set_handling(session, found, replace(handling_of(found), **wishes))
        if wanted is not None:
            set_pool(session, found, wanted)
        limits, handling = caps_of(found), handling_of(found)
        data = {"account": account, "name": found.name, **plain(limits), **plain(handling), "pool": found.pool}
    lines: list[tuple[str, object]] = [(key.replace("_", " ").capitalize(), data[key] or "any number") for key in CAPS]
    lines += [*handled(handling), ("Pool", data["pool"] or "its account's")]
    show(as_json, data, pairs([("Connection", data["name"]), *lines]))


@connection.command()
@click.argument("account")
@click.argument("name")
@click.option(
    "--keep",
    metavar="HOURS",
    type=click.FloatRange(0),
    default=0.0,
    help="Take the old password as well for so long; 0: not any more.",
)
@json_option
@pass_relay
def renew(relay: Relay, account: str, name: str, keep: float, as_json: bool) -> None:
    """Give an access a new password and print it."""
    with relay.store.write() as session:
        found = connection_by_name(session, account_by_name(session, account), name, lock=True)
        wanted = SecretRequest(mark(found), new_token(), keep * 3600)
        password = issue(session, relay.secrets, found, wanted, time.time())
        until = found.previous_until
        username = found.username
    lines = [("Old password", "is taken no more" if until is None else f"is valid until {iso(until)}")]
    _show_access(relay, as_json, username, password, lines)


@connection.command()
@click.argument("account")
@click.argument("name")
@click.option("--reason", metavar="TEXT", required=True, help="Why; the shop and the account's admins are told.")
@json_option
@pass_relay
def pause(relay: Relay, account: str, name: str, reason: str, as_json: bool) -> None:
    """Refuse the log-ins and messages of an access from now on."""
    with relay.store.write() as session:
        facts = pauses.pause(session, account_by_name(session, account), name, reason, time.time())
    show(as_json, plain(facts), _state(facts))


@connection.command()
@click.argument("account")
@click.argument("name")
@json_option
@pass_relay
def resume(relay: Relay, account: str, name: str, as_json: bool) -> None:
    """Take mail of a paused access again; what the guard kept back leaves."""
    now = time.time()
    with relay.store.read() as session:
        owner = account_by_name(session, account)
        waits = pauses.what_waits(session, connections.connection_by_name(session, owner, name), now)
    with relay.store.write() as session:
        facts = pauses.resume(session, account_by_name(session, account), name, waits, now, BY)
    left = f"; {waits.count:,} recipients are tried soon" if waits is not None else ""
    show(as_json, plain(facts), _state(facts) + left)


@connection.command(name="list")
@click.argument("account")
@json_option
@pass_relay
def list_connections(relay: Relay, account: str, as_json: bool) -> None:
    """Print an account's accesses, and why one is inactive."""
    with relay.store.read() as session:
        found = connections.connections_of(session, account_by_name(session, account).id)
    rows = [(f.name, f.username, ", ".join(f.domains), _used(f.last_used_at), _state(f)) for f in found]
    text = table(("Name", "Username", "Domains", "Last used", "State"), rows) if rows else "There are none."
    show(as_json, plain(found), text)


def _show_access(relay: Relay, as_json: bool, username: str, password: str, more: Sequence[tuple[str, object]]) -> None:
    """What a shop's settings need."""
    where = Endpoint.of(relay.settings)
    lines: list[tuple[str, object]] = [("Host", where.host)]
    lines += [("Port", f"{where.port} (STARTTLS)")] if where.port else []
    lines += [("Port", f"{where.tls_port} (implicit TLS)")] if where.tls_port else []
    lines += [("Username", username), ("Password", f"{password} (shown only now)")]
    show(as_json, {**plain(where), "username": username, "password": password}, pairs([*lines, *more]))


def _state(facts: ConnectionFacts) -> str:
    return f"inactive: {facts.reason}" if facts.reason else "active"


def _used(at: float | None) -> str:
    return "never" if at is None else iso(at)
