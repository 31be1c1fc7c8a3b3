"""`postmeter bounce`: what the replies of mail servers mean, and which of them no rule knows."""

from __future__ import annotations

import time

import click

from postmeter.bounce_rules import classifier
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.errors import UsageError
from postmeter.message.bounce import DAY, STAGES
from postmeter.smtp.reply import Reply
from postmeter.store.unclassified import unclassified


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(bounce)


@click.group()
def bounce() -> None:
    """What the replies of mail servers mean."""


@bounce.command(name="unclassified")
@click.option("--days", metavar="N", type=click.IntRange(1, 365), default=7, show_default=True, help="Of so many days.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many are listed.")
@json_option
@pass_relay
def list_unclassified(relay: Relay, days: int, limit: int, as_json: bool) -> None:
    """Print the most frequent refusals that no rule knows; delivery.bounce_rules can have rules for them."""
    with relay.store.read() as session:
        found = unclassified(session, time.time() - days * DAY, limit)
    rows = [(one.recipients, one.provider, one.reply) for one in found]
    told = table(("Recipients", "Provider", "Last answer"), rows) if found else "The rules know all refusals."
    show(as_json, plain(found), told)


@bounce.command(name="classify")
@click.argument("text", metavar="REPLY")
@click.option("--stage", type=click.Choice(STAGES), default="rcpt", show_default=True, help="Where it came.")
@json_option
@pass_relay
def classify_reply(relay: Relay, text: str, stage: str, as_json: bool) -> None:
    """Print what a reply such as "550 5.1.1 User unknown" means, and which rule says so."""
    try:
        reply = Reply.parse([text.encode("utf-8", "surrogateescape")])
    except ValueError:
        reply = Reply(0, "", "")
    if reply.code < 400:
        raise UsageError(f"{text!r} is no refusal such as 550 5.1.1 User unknown")
    found = classifier(relay.settings.delivery).classify(stage, reply.code, reply.status, reply.text)
    lines = [
        ("Class", found.name),
        ("Rule", found.rule or "none"),
        ("Then", "it bounces" if found.permanent else "it is tried again"),
    ]
    show(as_json, plain(found), pairs(lines))
