"""The command `postmeter`: opens the configured relay, then hands over to one of ``commands/``."""

from __future__ import annotations

import click

from postmeter.commands import (
    accounts,
    bounces,
    check,
    connections,
    domains,
    keys,
    plugins,
    providers,
    queue,
    quota,
    run,
    sources,
    stats,
    suppressions,
    users,
)
from postmeter.commands.common import Commands, Relay, accept_config


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="postmeter")
@click.pass_context
def main(context: click.Context) -> None:
    """A relay for transactional mail: signs, delivers and counts what your customers send."""
    context.call_on_close(context.ensure_object(Relay).close)


MODULES = (
    *(accounts, domains, keys, connections, quota, stats, queue),
    *(providers, sources, suppressions, bounces, users, check, plugins, run),
)
for module in MODULES:
    module.register(main)
accept_config(main)
