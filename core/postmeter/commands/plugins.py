"""`postmeter plugin`: how plugins fare, what they are told again, and how to write one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from postmeter import hookspecs
from postmeter.asking import ASKED
from postmeter.commands import plugin_new
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show
from postmeter.errors import UsageError
from postmeter.hooks import Plugins, installed
from postmeter.store import parked, replays
from postmeter.store.events import Conditions, wanted
from postmeter.store.plugin_facts import CursorFacts, FailureFacts, PluginFacts, TroubleFacts, plugin_facts
from postmeter.store.quota import iso
from postmeter.store.replays import FOREVER, LAST, Span
from postmeter.telling import HOOKS

ENABLED, MISSING, OFF = "enabled", "missing", "not enabled"


@dataclass(frozen=True)
class Listed:
    """A plugin as it is listed; ``order``: as which one it is asked by each hook that asks."""

    name: str
    version: str | None
    state: str
    hooks: tuple[str, ...]
    order: dict[str, int]
    policy: str | None
    time_limit: int | None
    cursor: CursorFacts | None
    last_failure: FailureFacts | None
    troubles: tuple[TroubleFacts, ...]


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
    plugins = relay.plugins
    with relay.store.read() as session:
        names = [name for name, _ in plugins.manager.list_name_plugin()]
        facts = plugin_facts(session, {name: _wanted(plugins, name) for name in names}, time.time())
    listed = [_loaded(plugins, name, facts[name]) for name in names]
    listed += [_absent(name, MISSING) for name in plugins.missing]
    listed += [_absent(name, OFF) for name in sorted(installed()) if name not in names]
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


def kinds_of(plugins: Plugins, name: str) -> list[str]:
    """The kinds of events that a plugin is told."""
    return [kind for kind, hook in HOOKS.items() if plugins.implementing(hook, name)]


def _wanted(plugins: Plugins, name: str) -> Conditions:
    return wanted(kinds_of(plugins, name), name if name in plugins.choosing else None)


def _revive(relay: Relay, name: str) -> int:
    with relay.store.write() as session:
        number = parked.revive(session, name)
    if not number:
        raise UsageError(f"{name} has no dead letters")
    return number


def _wish(relay: Relay, name: str, span: Span) -> int:
    with relay.store.read() as session:
        number, span = replays.survey(session, name, span, _wanted(relay.plugins, name))
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


def _loaded(plugins: Plugins, name: str, facts: PluginFacts) -> Listed:
    hooks = [hook for hook in vars(hookspecs) if hasattr(getattr(hookspecs, hook), "postmeter_spec")]
    own = plugins.own(name)
    return Listed(
        name=name,
        version=_version(name),
        state=ENABLED,
        hooks=tuple(hook for hook in hooks if plugins.implementing(hook, name)),
        order={
            hook: n for hook in ASKED for n, one in enumerate(plugins.implementing(hook), 1) if one.plugin_name == name
        },
        policy=own.policy,
        time_limit=own.time_limit,
        cursor=facts.cursor,
        last_failure=facts.last_failure,
        troubles=facts.troubles,
    )


def _absent(name: str, state: str) -> Listed:
    return Listed(name, _version(name), state, (), {}, None, None, None, None, ())


def _version(name: str) -> str | None:
    """The version of the package that a plugin comes with."""
    entry = installed().get(name)
    return entry.dist.version if entry is not None and entry.dist is not None else None


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
