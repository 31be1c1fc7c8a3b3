"""What the commands share: the opened relay, errors as one line, and the commands that plugins add."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn

import click
from sqlalchemy.exc import DBAPIError

from postmeter import process, source
from postmeter.commands.audited import AuditedStore
from postmeter.config import Settings, load
from postmeter.console import Opener
from postmeter.core import Core
from postmeter.errors import PostmeterError, UnreachableError
from postmeter.hooks import Plugins
from postmeter.message.handling import PRIORITIES, Handling, in_words
from postmeter.quota.block import MOST_MAILS
from postmeter.store import plugin_steps, schema
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets

DEFAULT_CONFIG = Path("postmeter.toml")
MAILS = click.IntRange(0, MOST_MAILS)
DEFAULT = "default"  # what the settings say


@dataclass(frozen=True)
class Offered:
    """The commands of plugins by name, each with its plugin, and why there may be more: some could not be asked."""

    commands: dict[str, tuple[str, click.Command]] = field(default_factory=dict)
    errors: list[PostmeterError] = field(default_factory=list)


class Relay:
    """The configured relay as a command sees it; data folder, key and tables are made when first needed."""

    def __init__(self) -> None:
        self.config = DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None

    @cached_property
    def settings(self) -> Settings:
        """What file and environment say, read when first needed: ``--config`` may stand behind the command."""
        return load(self.config)

    @cached_property
    def secrets(self) -> Secrets:
        """The data folder's key."""
        return Secrets.open(self.settings.data)

    @cached_property
    def store(self) -> Store:
        """The database with its tables; the audit log tells what a command changes in it."""
        if not self.settings.store.url:
            _ = self.secrets  # makes the data folder, in which SQLite's file is
        store = AuditedStore.open(self.settings.store_url)
        try:
            schema.ensure(store)
            store.audited = True
        except BaseException:
            store.close()
            raise
        return store

    @cached_property
    def plugins(self) -> Plugins:
        """The enabled plugins."""
        return Plugins.load(self.settings)

    @cached_property
    def offered(self) -> Offered:
        """What the plugins offer; of two commands with one name the first counts."""
        offered = Offered()
        try:
            names = [one.plugin_name for one in self.plugins.implementing("commands")]
        except PostmeterError as error:
            offered.errors.append(error)
            return offered
        for name in names:
            try:
                for command in self.plugins.commands(name):
                    offered.commands.setdefault(command.name or "", (name, command))
            except PostmeterError as error:
                offered.errors.append(error)
        return offered

    def core(self, name: str) -> Core:
        """What a plugin's command works with: the relay, and the plugin's tables."""
        plugin_steps.ensure(self.store, self.plugins.migrations(name))
        self.plugins.attach(self.settings, self.store, self.secrets)
        return self.plugins.core(name)

    def close(self) -> None:
        """Close the database if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


class Commands(click.Group):
    """The relay's own commands and those of its plugins; errors are sentences, not tracebacks."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The program: it ends with its command, and waits for no thread that a plugin has left behind."""
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as leaving:
            process.leave_threads(leaving.code)
            raise

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """The context of all that follows, which may load plugins before there is a command."""
        os.umask(0o077)  # the database holds mail, the data folder's key opens it: nobody else reads what is made
        return super().make_context(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, those of the plugins last; stderr has a line for each that could not be asked."""
        own = super().list_commands(ctx)
        offered = ctx.ensure_object(Relay).offered
        for error in offered.errors:
            _say(error)
        return [*own, *sorted(set(offered.commands) - set(own))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; of a plugin only when the relay has none."""
        if own := super().get_command(ctx, cmd_name):
            return own
        _, command = ctx.ensure_object(Relay).offered.commands.get(cmd_name, ("", None))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is to run; which plugins there are is said by the configuration, wherever it is named."""
        relay = ctx.ensure_object(Relay)
        if args and args[0] not in self.commands:
            relay.config = _named_config(args) or relay.config
            if args[0] in relay.offered.commands:
                name, command = relay.offered.commands[args[0]]
                accept_config(command)
                command.context_settings["obj"] = Opener(partial(relay.core, name))
            elif relay.offered.errors:
                raise relay.offered.errors[0]  # what could not be asked may well have it
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what is wrong becomes one line on stderr and the error's exit code."""
        try:
            return super().invoke(ctx)
        except PostmeterError as error:
            _tell(ctx, error)
        except DBAPIError as error:
            _tell(ctx, UnreachableError(f"the database cannot be used: {str(error.orig).splitlines()[0]}"))


def _tell(ctx: click.Context, error: PostmeterError) -> NoReturn:
    _say(error)
    ctx.exit(error.exit_code)


def _say(error: PostmeterError) -> None:
    click.echo(f"postmeter: {' '.join(str(error).split())}", err=True)


def _named_config(args: list[str]) -> Path | None:
    """The configuration file that the arguments of a command name, if they do."""
    for place, argument in enumerate(args):
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
        if argument == "--config" and place + 1 < len(args):
            return Path(args[place + 1])
    return None


def _choose(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.ensure_object(Relay).config = path


CONFIG = click.Option(
    ["--config"],
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_choose,
    help="The configuration file; ./postmeter.toml if it exists.",
)


def accept_config(command: click.Command) -> None:
    """Let the command and all below it take ``--config FILE``; the one that stands last counts."""
    if CONFIG not in command.params:
        command.params.append(CONFIG)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            accept_config(below)


def chosen_pool(settings: Settings, name: str) -> str:
    """A pool of source addresses as it is stored, empty for the default; UsageError when there is none of this name."""
    return "" if name == DEFAULT else source.known(settings.delivery.pools, name)


pass_relay = click.make_pass_decorator(Relay)


def handled(handling: Handling) -> list[tuple[str, object]]:
    """How messages are handled on their way out, for people."""
    return [
        ("Priority", PRIORITIES[handling.priority]),
        ("Lifetime", in_words(handling.lifetime) if handling.lifetime else "delivery.lifetime_days"),
        ("TLS", "required" if handling.tls_required else "opportunistic"),
    ]
