"""`postmeter check`: looks at everything the relay needs and says what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from postmeter import looking
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, plain, show
from postmeter.errors import ConfigError
from postmeter.health.finding import PROBLEM, Finding, ok, problem
from postmeter.health.report import report


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(check)


@click.command()
@json_option
@pass_relay
@click.pass_context
def check(context: click.Context, relay: Relay, as_json: bool) -> None:
    """Look at what the relay needs and say what is wrong; ends with 1 when there is a problem."""
    findings = list(look(relay))
    show(as_json, [plain(finding) for finding in findings], "\n".join(_told(finding) for finding in findings))
    if any(finding.state == PROBLEM for finding in findings):
        context.exit(1)


def look(relay: Relay) -> Iterator[Finding]:
    """All findings, first of all about the configuration itself."""
    from postmeter.supervisor import check_delivery  # it brings the reactor, which other commands do without

    settings = relay.settings
    source = (
        f"{relay.config} is right" if relay.config else "there is no file; the defaults and the environment are used"
    )
    try:
        check_delivery(settings)
        yield ok("configuration", source)
    except ConfigError as error:
        yield problem("configuration", str(error), "mend that: the relay does not start with it")
    for group in report(settings, partial(looking.lookup, settings.delivery.resolver)):
        yield from group.findings


def _told(finding: Finding) -> str:
    line = f"{finding.state.ljust(8)} {finding.check}: {finding.text}"
    return f"{line}\n         {finding.mend}" if finding.mend else line
