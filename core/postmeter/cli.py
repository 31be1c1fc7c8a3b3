"""The command `postmeter`: reads the configuration, then hands over to one of ``commands/``."""

from __future__ import annotations

from pathlib import Path

import click

from postmeter.commands import accounts, check, connections, domains, queue, quota, run, users
from postmeter.commands.common import Commands, Relay
from postmeter.config import load

DEFAULT_CONFIG = Path("postmeter.toml")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", type=click.Path(path_type=Path), help="The configuration file; ./postmeter.toml if it exists."
)
@click.version_option(package_name="postmeter")
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """A relay for transactional mail: signs, delivers and counts what your customers send."""
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    relay = Relay(load(config), config)
    context.obj = relay
    context.call_on_close(relay.close)


for module in (accounts, domains, connections, quota, queue, users, check, run):
    module.register(main)
