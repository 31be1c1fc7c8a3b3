"""`postmeter connection`: the customers' accesses."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address

import click

from postmeter.commands.common import MAILS, Relay, pass_relay
from postmeter.config import Settings, address
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.errors import UsageError
from postmeter.store import connections
from postmeter.store.accounts import account_by_name
from postmeter.store.connections import ConnectionFacts, access, add_connection, caps_of, connection_by_name, set_caps
from postmeter.store.quota import iso


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
    host, port, tls_port = endpoint(relay.settings)
    data = {"host": host, "port": port, "tls_port": tls_port, "username": added.username, "password": added.password}
    lines: list[tuple[str, object]] = [("Host", host)]
    lines += [("Port", f"{port} (STARTTLS)")] if port else []
    lines += [("Port", f"{tls_port} (implicit TLS)")] if tls_port else []
    lines += [("Username", added.username), ("Password", f"{added.password} (shown only now)")]
    if granted and granted.reason:
        lines.append(("Inactive", granted.reason))
    show(as_json, data, pairs(lines))


@connection.command(name="set")
@click.argument("account")
@click.argument("name")
@click.option("--per-hour", metavar="N", type=MAILS, help="Recipients in a clock hour; 0: any number.")
@click.option("--per-day", metavar="N", type=MAILS, help="Recipients in a day (UTC); 0: any number.")
@click.option("--per-month", metavar="N", type=MAILS, help="Recipients in a month (UTC); 0: any number.")
@json_option
@pass_relay
def set_connection(relay: Relay, /, account: str, name: str, as_json: bool, **caps: int | None) -> None:
    """Limit how much an access may submit."""
    changes = {key: value for key, value in caps.items() if value is not None}
    if not changes:
        raise UsageError("say what to change: --per-hour, --per-day or --per-month")
    with relay.store.write() as session:
        found = connection_by_name(session, account_by_name(session, account), name)
        set_caps(session, found, replace(caps_of(found), **changes))
        data = {"account": account, "name": found.name, **plain(caps_of(found))}
    lines = [(key.replace("_", " ").capitalize(), data[key] or "any number") for key in caps]
    show(as_json, data, pairs([("Connection", data["name"]), *lines]))


@connection.command()
@click.argument("account")
@click.argument("name")
@click.option("--reason", metavar="TEXT", required=True, help="Why; the shop and the account's admins are told.")
@json_option
@pass_relay
def pause(relay: Relay, account: str, name: str, reason: str, as_json: bool) -> None:
    """Refuse the log-ins and messages of an access from now on."""
    with relay.store.write() as session:
        facts = connections.pause(session, account_by_name(session, account), name, reason, time.time())
    show(as_json, plain(facts), _state(facts))


@connection.command()
@click.argument("account")
@click.argument("name")
@json_option
@pass_relay
def resume(relay: Relay, account: str, name: str, as_json: bool) -> None:
    """Take mail of a paused access again."""
    with relay.store.write() as session:
        facts = connections.resume(session, account_by_name(session, account), name, time.time())
    show(as_json, plain(facts), _state(facts))


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


def _state(facts: ConnectionFacts) -> str:
    return f"inactive: {facts.reason}" if facts.reason else "active"


def _used(at: float | None) -> str:
    return "never" if at is None else iso(at)


def endpoint(settings: Settings) -> tuple[str, int | None, int | None]:
    """Host, port with STARTTLS and port with implicit TLS that a client uses; None where there is no listener.

    A listener on the loopback is named by its address, any other by the host name, which the certificate has.
    """
    starttls = [address("smtp.submission", text) for text in settings.smtp.submission[:1]]
    implicit = [address("smtp.submissions", text) for text in settings.smtp.submissions[:1]]
    hosts = [host for host, _ in (*starttls, *implicit)]
    host = hosts[0] if hosts and _is_loopback(hosts[0]) else settings.hostname
    return host, starttls[0][1] if starttls else None, implicit[0][1] if implicit else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
