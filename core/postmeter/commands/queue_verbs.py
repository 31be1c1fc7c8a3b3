"""`postmeter queue hold|release|retry|reroute|cancel|bounce`: counts what a filter matches, asks, and acts."""

from __future__ import annotations

import time

import click

from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, plain, show, table
from postmeter.store import orders
from postmeter.store.notifications import Notifier
from postmeter.store.orders import CarryingOut, Matching, OrderFacts
from postmeter.store.queue_filter import Filter
from postmeter.store.verbs import VERBS

BY = "operator"  # who the timelines of the messages will name
HELP = {
    "hold": "Keep what matches FILTER from leaving, until it is released.",
    "release": "Let what is held and matches FILTER leave again.",
    "retry": "Try what matches FILTER again now.",
    "reroute": "Send what matches FILTER, now and from now on, to this server instead of where it would go.",
    "cancel": "Never send what matches FILTER; units of what was never sent are given back.",
    "bounce": "Never send what matches FILTER, and tell its senders that it failed.",
}
UNKNOWN = (
    "{:,} more wait for their first attempt, which will tell their provider; they are left alone. "
    "Its domains (domain:…) find them, and `provider suspend` keeps them from leaving."
)
DONE = {
    "hold": "held",
    "release": "released",
    "retry": "due now",
    "reroute": "rerouted",
    "cancel": "cancelled",
    "bounce": "bounced",
}
OBJECTS = {  # what a verb has to be given besides: the metavariable of its option, and what that means
    "to": ("HOST:PORT", "The next hop; 'mx' sends it again where the settings or the DNS say."),
    "reply": ("TEXT", "Why; its senders are told."),
}


def register(group: click.Group) -> None:
    """Add the commands."""
    for verb, text in HELP.items():
        command = _command(verb, text)
        if name := VERBS[verb].object:
            metavar, help = OBJECTS[name]
            command.params.append(click.Option([f"--{name}", "object"], metavar=metavar, required=True, help=help))
        group.add_command(command)


def _command(verb: str, text: str) -> click.Command:
    @click.command(name=verb, help=f"{text} Conditions such as domain:example.org; 'all' is whatever waits.")
    @click.argument("words", metavar="FILTER", nargs=-1, required=True)
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @json_option
    @pass_relay
    def command(relay: Relay, words: tuple[str, ...], yes: bool, as_json: bool, object: str = "") -> None:
        chosen, object = Filter.of(words), orders.clean_object(verb, object)
        with relay.store.read() as session:
            counted = orders.matching(session, verb, chosen, time.time(), limit=5, object=object)
        if counted.count and not yes:
            click.echo(_counted(verb, counted), err=True)
        if counted.unknown:
            click.echo(UNKNOWN.format(counted.unknown), err=True)
        if counted.count and not yes:
            click.confirm("Go on?", abort=True, err=True)
        done = _act(relay, verb, chosen, counted, object)
        show(as_json, plain(done), _told(done))

    return command


def _act(relay: Relay, verb: str, chosen: Filter, counted: Matching, object: str) -> OrderFacts:
    """Place the order and carry it out; if this process ends before, workers go on with it."""
    with relay.store.write() as session:
        number = orders.place(session, verb, chosen, counted.count, counted.upto, time.time(), BY, object)
    carry_out = CarryingOut(Notifier.of(relay.settings))
    while True:
        now = time.time()
        with relay.store.read() as session:
            if (batch := orders.next_batch(session, now, number)) is None:
                return orders.order_facts(session, number)
        with relay.store.write() as session:
            carry_out(session, [(batch, now)])


def _counted(verb: str, counted: Matching) -> str:
    first = table(
        ("Message", "Recipient", "State", "Last answer"),
        [(one.message_id, one.forward_path, one.state, one.reply) for one in counted.first],
    )
    left_out = f" ({counted.left_out:,} more are being sent and are left alone)" if counted.left_out else ""
    return f"{first}\n\n{verb}: {counted.count:,} recipients{left_out}"


def _told(done: OrderFacts) -> str:
    parts = [f"{done.done:,} recipients are {DONE[done.verb]}"]
    parts += [f"{done.changed:,} had changed meanwhile"] if done.changed else []
    parts += [f"{done.left_out:,} were being sent and are as they were"] if done.left_out else []
    return "; ".join(parts) + "."
