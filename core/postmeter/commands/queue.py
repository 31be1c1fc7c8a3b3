"""`postmeter queue` and `postmeter message`: what waits and why, and what happened to a message."""

from __future__ import annotations

import time
from typing import Any

import click

from postmeter.commands import queue_verbs
from postmeter.commands.common import Relay, handled, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.errors import UsageError
from postmeter.store.accounts import account_by_name
from postmeter.store.quota import iso
from postmeter.store.timeline import (
    EventFacts,
    MessageFacts,
    QueueFacts,
    RecipientFacts,
    WaitingRecipient,
    message_facts,
    queue_facts,
)

NEVER_TRIED = "not tried yet"


def register(group: click.Group) -> None:
    """Add the commands."""
    queue_verbs.register(queue)
    group.add_command(queue)
    group.add_command(message)


@click.group(invoke_without_command=True)
@click.option("--account", metavar="NAME", help="Of this account only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many are listed.")
@json_option
@click.pass_context
def queue(context: click.Context, account: str | None, limit: int, as_json: bool) -> None:
    """Print what waits and why; the commands below act on it."""
    if context.invoked_subcommand is not None:
        return
    relay = context.ensure_object(Relay)
    with relay.store.read() as session:
        account_id = account_by_name(session, account).id if account else None
        facts = queue_facts(session, account_id, limit)
    show(as_json, plain(facts), _queue(facts, time.time()))


@click.group()
def message() -> None:
    """Accepted messages."""


@message.command(name="show")
@click.argument("identifier", metavar="ID")
@json_option
@pass_relay
def show_message(relay: Relay, identifier: str, as_json: bool) -> None:
    """Print what happened to a message; ID is what the sender's log calls "queued as"."""
    with relay.store.read() as session:
        facts = message_facts(session, identifier.strip().upper())
    if facts is None:
        raise UsageError(f"there is no message {identifier}")
    show(as_json, plain(facts), _message(facts))


def _queue(facts: QueueFacts, now: float) -> str:
    if not facts.total:
        return "Nothing waits."
    states = ", ".join(f"{number:,} {state}" for state, number in facts.states.items())
    reasons = table(
        ("Recipients", "State", "Last answer"), [(r.recipients, r.state, r.reply or NEVER_TRIED) for r in facts.reasons]
    )
    waiting = table(
        ("Message", "Recipient", "State", "Tries", "Next try"),
        [(w.message_id, w.forward_path, w.state, w.attempts, _due(w, now)) for w in facts.waiting],
    )
    return f"{facts.total:,} recipients wait: {states}\n\n{reasons}\n\n{waiting}"


def _due(one: WaitingRecipient, now: float) -> str:
    when = "now" if one.next_attempt_at <= now else iso(one.next_attempt_at)
    return f"{when} to {one.route}" if one.route else when


def _message(facts: MessageFacts) -> str:
    lines: list[tuple[str, object]] = [
        ("Message", facts.id),
        ("Accepted", iso(facts.accepted_at)),
        ("From", f"{facts.header_from} <{facts.reverse_path}>"),
        ("Subject", facts.subject),
        ("Message-ID", facts.message_id),
        ("Size", facts.size),
        *handled(facts.handling),
    ]
    head = pairs([*lines, ("Reference", facts.reference)] if facts.reference else lines)
    recipients = table(
        ("Recipient", "State", "Tries", "Class", "Last answer"),
        [(r.forward_path, _state(r), r.attempts, r.failure, r.reply or NEVER_TRIED) for r in facts.recipients],
    )
    names = {r.n: r.forward_path for r in facts.recipients}
    events = "\n".join(_event(event, names) for event in facts.events)
    return f"{head}\n\n{recipients}\n\n{events}".rstrip()


def _state(one: RecipientFacts) -> str:
    return f"{one.state} (to {one.route})" if one.route else one.state


def _event(event: EventFacts, names: dict[int, str]) -> str:
    about = "" if event.recipient is None else f"  {names.get(event.recipient, '')}"
    facts = ", ".join(f"{name} {_fact(name, value)}" for name, value in event.facts.items() if _short(value))
    lines = [f"{iso(event.at)}  {event.kind}{about}  {facts}".rstrip()]
    lines += [_said(*line) for line in event.facts.get("dialogue", ())]
    return "\n".join(lines)


def _short(value: Any) -> bool:
    return value is not None and not isinstance(value, list)


def _fact(name: str, value: Any) -> Any:
    return iso(value) if name.endswith("_at") and isinstance(value, float) else value


def _said(seconds: float, who: str, text: str) -> str:
    """A line of the dialogue; those that a reply goes on with are below its first."""
    return f"  {seconds:9.3f}  {who}  " + text.replace("\n", "\n" + " " * 16)
