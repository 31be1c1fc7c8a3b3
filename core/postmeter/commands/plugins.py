"""`postmeter plugin`: how plugins fare, what they are told again, and how to write one."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from postmeter.commands import plugin_new
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show
from postmeter.errors import UsageError
from postmeter.plugin_settings import DEFAULT
from postmeter.roster import Listed, kinds_of, roster, wanted_by
from postmeter.store import parked, replays
from postmeter.store.chosen import chosen
from postmeter.store.plugin_facts import CursorFacts
from postmeter.store.quota import iso
from postmeter.store.replays import FOREVER, LAST, Span


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(plugin)


@click.group()
def plugin() -> None:
    """Plugins: how they fare, what they are told again, and how to write one."""


@plugin.command(name="list")
@json_option
@pass_relay
def list_plugins(relay: Relay, as_json: bool) -> None:
    """Print the plugins, what they implement, how far they are and what is wrong with them."""
    with relay.store.read() as session:
        relay.plugins.overlay(chosen(session, relay.secrets))
        listed = roster(session, relay.plugins, time.time())
    show(as_json, plain(listed), "\n\n".join(map(_text, listed)) or "There are no plugins.")


@plugin.command()
@click.argument("name")
@click.argument("event", type=click.IntRange(1, LAST), required=False)
@click.option("--from", "first", type=click.IntRange(1, LAST), metavar="EVENT", help="From this event on.")
@click.option("--to", "last", type=click.IntRange(1, LAST), metavar="EVENT", help="Up to this event.")
@click.option("--since", metavar="TIME", help="From this time on, such as 2026-11-26T08:00:00Z or 2026-11-26.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--all", "everything", is_flag=True, help="From the beginning; for a plugin that is new.")
@click.option("--dead", is_flag=True, help="What it could not take in all its tries.")
@json_option
@pass_relay
def replay(
    relay: Relay,
    name: str,
    event: int | None,
    first: int | None,
    last: int | None,
    since: str | None,
    until: str | None,
    everything: bool,
    dead: bool,
    as_json: bool,
) -> None:
    """Have a plugin told events again: one, a span, all, or its dead letters.

    A relay that runs does it at once, before it tells the plugin anything new.
    """
    bounds = [bound for bound in (first, last, since, until) if bound is not None]
    if sum([event is not None, bool(bounds), everything, dead]) != 1:
        raise UsageError("name one event, a span (--from, --to, --since, --until), --all or --dead")
    if not kinds_of(relay.plugins, name):
        raise UsageError(f"there is no enabled plugin {name} that is told events")
    if dead:
        number = _revive(relay, name)
    else:
        span = Span(event or first or 0, event or last or LAST, _time(since, 0.0), _time(until, FOREVER))
        number = _wish(relay, name, span)
    show(as_json, {"plugin": name, "events": number}, f"Events that {name} is told again: {number:,}")


def _revive(relay: Relay, name: str) -> int:
    with relay.store.write() as session:
        number = parked.revive(session, name)
    if not number:
        raise UsageError(f"{name} has no dead letters")
    return number


def _wish(relay: Relay, name: str, span: Span) -> int:
    with relay.store.read() as session:
        number, span = replays.survey(session, name, span, wanted_by(relay.plugins, name))
    if not number:
        raise UsageError(f"there is no event there that {name} was told; what it has not been told comes anyway")
    with relay.store.write() as session:
        replays.wish(session, name, span)
    return number


def _time(text: str | None, default: float) -> float:
    """A point in time (UTC unless it says otherwise), in seconds since the epoch."""
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time such as 2026-11-26T08:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(one: Listed) -> str:
    head = f"{one.name} {one.version or ''}".rstrip() + f" ({one.state})"
    lines: list[tuple[str, object]] = []
    if one.hooks:
        lines.append(
            (
                "hooks",
                ", ".join(f"{hook} ({_nth(one.order[hook])})" if hook in one.order else hook for hook in one.hooks),
            )
        )
    if one.order:
        lines.append(("no answer", f"{one.policy}, after {one.time_limit} s"))
    if changed := [f"{own.key} ({own.source})" for own in one.settings if own.source != DEFAULT]:
        lines.append(("set", ", ".join(changed)))
    if one.cursor:
        lines += _cursor(one.cursor)
    lines += [("trouble", f"{t.hook} in worker {t.worker} since {iso(t.since_at)}: {t.error}") for t in one.troubles]
    if one.last_failure:
        lines.append(("failed", f"{iso(one.last_failure.at)}: {one.last_failure.error}"))
    return "\n".join([head, *(f"  {line}" for line in pairs(lines).splitlines())]) if lines else head


def _cursor(facts: CursorFacts) -> list[tuple[str, object]]:
    told = f"up to event {facts.event_id:,}; {facts.lag:,} to come, {facts.behind:,} s behind"
    waiting = f"{facts.parked:,} set aside, {facts.dead:,} dead letters, {facts.replays:,} replays"
    lines: list[tuple[str, object]] = [("told", told), ("waiting", waiting)]
    if facts.failures:
        again = f", next try {iso(facts.retry_at)}" if facts.retry_at else ""
        lines.append(("failing", f"{facts.failures:,} in a row{again}"))
    return lines


def _nth(place: int) -> str:
    return f"{place}."


plugin_new.register(plugin)
