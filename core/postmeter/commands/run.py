"""The commands that run the relay; those for its own processes are not shown."""

from __future__ import annotations

import sys

import click

from postmeter.commands.common import Relay, pass_relay


@click.command
@pass_relay
def up(relay: Relay) -> None:
    """Run the relay and the panel in the foreground until SIGTERM or Ctrl-C.

    Makes the data folder, the tables, a certificate and the first operator when there are none.
    """
    from postmeter import logs, supervisor

    logs.set_up("postmeter")
    sys.exit(supervisor.run(relay.settings, _options(relay)))


@click.command
@click.option("--mails", metavar="N", type=click.IntRange(1), help="Stop sending after N mails.")
@click.option("--exit", "leave", is_flag=True, help="End when every mail was tried.")
def demo(mails: int | None, leave: bool) -> None:
    """Run the relay on a temporary folder between a sample shop and a built-in recipient side."""
    from postmeter.demo import demo as built_in

    sys.exit(built_in.run(mails, leave))


@click.command(hidden=True)
@click.option("--page", default=0, help="Which page of the board is its own.")
@click.option("--submission", default=0, help="Number of inherited sockets with STARTTLS.")
@click.option("--submissions", default=0, help="Number of inherited sockets with implicit TLS.")
@click.option("--reports", default=0, help="Number of inherited sockets for reports.")
@pass_relay
def worker(relay: Relay, page: int, submission: int, submissions: int, reports: int) -> None:
    """One process that receives and delivers; the supervisor starts it."""
    from postmeter import logs, process, service
    from postmeter.server.board import Board

    logs.set_up("worker")
    board = Board(service.FIRST_DESCRIPTOR, page)
    first = service.FIRST_DESCRIPTOR + 1
    between, behind = first + submission, first + submission + submissions
    inherited = service.Inherited(board, range(first, between), range(between, behind), range(behind, behind + reports))
    service.run(relay.settings, inherited, process.node_name(relay.settings.data))


@click.command(hidden=True)
@click.argument("name")
@pass_relay
def serve(relay: Relay, name: str) -> None:
    """One service that a plugin offers; the supervisor starts it."""
    from postmeter import logs, service

    logs.set_up(name)
    service.serve(relay.settings, name, service.FIRST_DESCRIPTOR)


def register(group: click.Group) -> None:
    """Add the commands."""
    for command in (up, demo, worker, serve):
        group.add_command(command)


def _options(relay: Relay) -> list[str]:
    return ["--config", str(relay.config)] if relay.config else []
