"""`postmeter source`: the addresses that mail leaves from, and how warm they are."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import click

from postmeter import looking
from postmeter.commands.common import Relay, pass_relay
from postmeter.commands.queue_verbs import BY
from postmeter.console import json_option, plain, show, table
from postmeter.health import doors, names
from postmeter.health.finding import OK, Finding
from postmeter.health.sources import Ours, sources
from postmeter.store import warm_up
from postmeter.store.quota import iso
from postmeter.store.sources import first_days
from postmeter.store.warm_up import Level

Levels = dict[str, Level]  # of an address, by provider
HEADS = ("Address", "Pool", "Name", "Used since", "Today, by provider", "State")


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(source)


@click.group()
def source() -> None:
    """The addresses that mail leaves from."""


@source.command(name="list")
@json_option
@pass_relay
def list_sources(relay: Relay, as_json: bool) -> None:
    """Print the addresses with their pools and names, what left from each today, and what is wrong with them."""
    found = sources(relay.settings)
    with relay.store.read() as session:
        warmth = warm_up.warmth(session, [str(one.address) for one in found], time.time())
        since = first_days(session)
    data, rows = [], []
    for one in found:
        address, findings = str(one.address), _findings(relay, one)
        capped = bool(one.pools) and relay.settings.delivery.warm_up
        levels, used = warmth.at(address), iso(since[address]) if address in since else None
        facts = {"address": address, "pools": list(one.pools), "name": one.name, "first_used": used}
        warm = {"declared_warm": address in warmth.declared, "providers": _plain(levels, capped)}
        data.append({**facts, **warm, "findings": plain(findings)})
        warned = [finding.text for finding in findings if finding.state != OK] or ["as it should be"]
        state = "; ".join([*(["declared warm"] if address in warmth.declared else []), *warned])
        use = _told(levels, capped)
        rows.append((address, ", ".join(one.pools) or "-", one.name, (used or "never")[:10], use, state))
    show(as_json, data, table(HEADS, rows) if rows else "All mail goes to a server that delivers it from its own.")


@source.command()
@click.argument("address")
@click.option("--undo", is_flag=True, help="Go by what it has done here again.")
@json_option
@pass_relay
def warm(relay: Relay, address: str, undo: bool, as_json: bool) -> None:
    """Take an address as warm, since providers know it from another server: it has no caps."""
    with relay.store.write() as session:
        written = warm_up.take_back(session, address) if undo else warm_up.declare(session, address, time.time(), BY)
    told = "goes by what it has done here" if undo else "counts as warm"
    show(as_json, {"address": written, "declared_warm": not undo}, f"{written} {told}; workers know within seconds.")


def _findings(relay: Relay, one: Ours) -> list[Finding]:
    found = [names.leaves(one)]
    if one.address.is_global and doors.is_public(one.name):
        found.append(names.reverse(one, partial(looking.lookup, relay.settings.delivery.resolver)))
    return found


def _plain(levels: Levels, capped: bool) -> list[dict[str, Any]]:
    return [
        {"provider": provider, **plain(level), "cap": level.cap if capped else None}
        for provider, level in levels.items()
    ]


def _told(levels: Levels, capped: bool) -> str:
    told = [f"{provider or '-'} {_share(level, capped)}" for provider, level in levels.items() if level.today]
    return ", ".join(told) or "nothing yet"


def _share(level: Level, capped: bool) -> str:
    if not capped or level.cap is None:
        return f"{level.today:,}"
    return f"{level.today:,} of {level.cap:,}{' (growth pauses)' if level.paused else ''}"
