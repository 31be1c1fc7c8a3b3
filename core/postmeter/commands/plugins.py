"""`postmeter plugin`: for those who run plugins, and for those who write them."""

from __future__ import annotations

import click

from postmeter.commands import plugin_new


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(plugin)


@click.group()
def plugin() -> None:
    """Plugins."""


plugin_new.register(plugin)
