"""`postmeter provider`: who receives the mail, and whom nothing is sent for a while."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import Relay, pass_relay
from postmeter.commands.provider_text import slow_text, value_text
from postmeter.commands.queue_verbs import BY
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.delivery.provider import Providers
from postmeter.errors import UsageError
from postmeter.store import provider_sessions, providers, statistics, waiting
from postmeter.store.orders import order_facts
from postmeter.store.provider_sessions import Sessions
from postmeter.store.providers import Suspension
from postmeter.store.quota import iso

HOUR, WEEK = 3_600.0, 604_800.0


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(provider)


@click.group()
def provider() -> None:
    """Receiving providers, by the host names of their mail servers."""


@provider.command(name="list")
@json_option
@pass_relay
def list_providers(relay: Relay, as_json: bool) -> None:
    """Print what became of the mail to each provider in the last seven days, what waits, and who gets less or none.

    Of the sessions with it so many are open at present, of those that there may be now.
    """
    now = time.time()
    with relay.store.read() as session:
        shares = {share.of: share.totals for share in statistics.by_provider(session, None, now - WEEK)}
        waits = waiting.by_provider(session)
        suspended = {one.provider: one for one in providers.suspensions(session, now)}
        sessions = provider_sessions.sessions(session, now)
    found = sorted({*shares, *waits, *suspended, *sessions} - {""})
    data = [
        {
            "provider": name,
            "delivered": shares[name].delivered if name in shares else 0,
            "bounced": shares[name].bounced if name in shares else 0,
            "waiting": waits.get(name, 0),
            "sessions": plain(sessions.get(name)),
            "suspension": plain(suspended.get(name)),
        }
        for name in found
    ]
    rows = [
        (*(one[key] for key in list(one)[:4]), _open(sessions.get(name)), _state(suspended.get(name)))
        for name, one in zip(found, data, strict=True)
    ]
    heads = ("Provider", "Delivered", "Bounced", "Waiting", "Sessions", "Restricted")
    show(as_json, data, table(heads, rows) if rows else "Nothing was sent in the last seven days.")


@provider.command(name="show")
@click.argument("name")
@json_option
@pass_relay
def show_provider(relay: Relay, name: str, as_json: bool) -> None:
    """Print how much mail a provider gets and what its replies lead to, each with the file that says so.

    Before that, how many sessions with it are open and how many there may be at present, if workers have any.
    """
    known, now = _known(relay, name), time.time()
    with relay.store.read() as session:
        held = next((one for one in providers.suspensions(session, now) if one.provider == name), None)
        sessions = provider_sessions.sessions(session, now).get(name)
    told = known.told(name)
    data = {
        "provider": name,
        "holds": [{"key": key, "value": plain(value), "file": file} for key, (value, file) in told.items()],
        "sessions": plain(sessions),
        "suspension": plain(held),
    }
    rows = [(key, file, value_text(key, value)) for key, (value, file) in told.items()]
    if sessions is not None:
        rows.insert(0, ("sessions", "workers", _open(sessions)))
    if held is not None:
        rows.insert(0, ("restricted", held.by, _state(held)))
    show(as_json, data, table(("Key", "From", "Value"), rows))


@provider.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", required=True, help="Why; the timelines of the messages have it.")
@click.option("--hours", metavar="N", type=click.FloatRange(0, 8_760, min_open=True), help="For how long.")
@json_option
@pass_relay
def suspend(relay: Relay, name: str, reason: str, hours: float | None, as_json: bool) -> None:
    """Send a provider nothing (without --hours: until it is resumed); its mail waits, and its lifetime goes on."""
    _known(relay, name)  # else it would stop nobody
    now = time.time()
    with relay.store.write() as session:
        made = providers.suspend(session, name, reason, now + hours * HOUR if hours else None, now, BY)
    show(as_json, plain(made), pairs([("Provider", made.provider), ("Suspended", _state(made))]))


@provider.command()
@click.argument("name")
@json_option
@pass_relay
def resume(relay: Relay, name: str, as_json: bool) -> None:
    """Send a provider mail again; the relay's workers begin with what waits, and with few sessions.

    Also when it is not restricted: then they forget what it has complained of.
    """
    now = time.time()
    with relay.store.read() as session:
        waits = providers.what_waits(session, name, now)
    with relay.store.write() as session:
        order = order_facts(session, providers.resume(session, name, waits, now, BY))
    show(as_json, plain(order), f"{name} is sent mail again; {order.matched:,} recipients are tried soon.")


def _known(relay: Relay, name: str) -> Providers:
    """The providers, if one has that name."""
    known = Providers.load(relay.settings.providers_file)
    if name not in known.names:
        there = ", ".join(sorted(known.names, key=str.lower))
        raise UsageError(f"no provider is called {name!r}; there are: {there}")
    return known


def _open(one: Sessions | None) -> str:
    return f"{one.open} of {one.allowed:.0f}" if one is not None else ""


def _state(one: Suspension | None) -> str:
    if one is None:
        return ""
    what = slow_text(one.sessions, one.per_minute) or "nothing"
    until = "it is resumed" if one.until is None else iso(one.until)
    rule = f" (rule {one.rule!r})" if one.rule else ""
    return f"{what} until {until}{rule}: {one.reason}"
