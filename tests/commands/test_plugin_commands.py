"""Commands that plugins add: found by the configuration, run with the plugin's Core, listed beside the relay's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from attrs import frozen
from sqlalchemy import text

from postmeter import Core, PluginSettings, UsageError, console, hookimpl, hooks, pass_core, setting
from support.command import Cli, printed, told, with_account


class Counting:
    """A plugin with a command and a table."""

    @frozen
    class Settings(PluginSettings):
        """Its own settings."""

        greeting: str = setting("hello", "what it says")

    @hookimpl
    def settings_schema(self) -> type[PluginSettings]:
        return self.Settings

    @hookimpl
    def migrations(self) -> list[Any]:
        return [lambda connection: connection.execute(text("CREATE TABLE counting_number (n INTEGER)"))]

    @hookimpl
    def commands(self) -> list[click.Command]:
        return [count, quota]


@click.group()
def count() -> None:
    """Counts."""


@count.command()
@console.json_option
@pass_core
def accounts(core: Core, as_json: bool) -> None:
    """Count accounts."""
    with core.write() as session:
        session.execute(text("INSERT INTO counting_number VALUES (1)"))
        rows = session.execute(text("SELECT count(*) FROM counting_number")).scalar_one()
        names = [account.name for account in core.accounts(session)]
    greeting = core.own.greeting  # type: ignore[attr-defined]
    console.show(as_json, {"plugin": core.name, "names": names, "rows": rows, "greeting": greeting}, "some")


@count.command()
def refuse() -> None:
    """Refuse."""
    raise UsageError("this cannot be counted")


@click.command()
def quota() -> None:
    """Has the name of a command of the relay."""


class Entry:
    """An installed plugin."""

    name = "counting"

    def load(self) -> object:
        return Counting


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "entry_points", lambda group: [Entry()])


def enable(path: Path, **settings: str) -> Path:
    lines = [f'{key} = "{value}"' for key, value in settings.items()]
    path.write_text("\n".join(['[plugins]\nenabled = ["counting"]\n[plugins.counting]', *lines]))
    return path


def test_a_command_has_the_plugins_core_and_its_tables(cli: Cli, data: Path) -> None:
    enable(data.parent / "postmeter.toml")
    with_account(cli)
    for rows in (1, 2):
        answer = printed(cli("count", "accounts", "--json"))
        assert answer == {"plugin": "counting", "names": ["acme"], "rows": rows, "greeting": "hello"}


@pytest.mark.parametrize("place", ["before", "behind", "joined"])
def test_the_configuration_is_found_wherever_it_is_named(cli: Cli, data: Path, place: str) -> None:
    path = str(enable(data.parent / "other.toml", greeting="good day"))
    named = {
        "before": ["--config", path, "count", "accounts", "--json"],
        "behind": ["count", "accounts", "--config", path, "--json"],
        "joined": ["count", "accounts", "--json", f"--config={path}"],
    }
    assert printed(cli(*named[place]))["greeting"] == "good day"


def test_a_plugin_that_is_not_enabled_has_no_commands(cli: Cli) -> None:
    result = cli("count", "accounts")
    assert result.exit_code == 2
    assert "No such command 'count'" in result.output


def test_the_help_lists_it_and_a_commands_name_stays_the_relays(cli: Cli, data: Path) -> None:
    enable(data.parent / "postmeter.toml")
    listed = cli("--help").stdout
    assert "count " in listed
    assert listed.count("quota") == 1
    assert "ledger" in cli("quota", "--help").stdout or "book" in cli("quota", "--help").stdout


def test_an_error_is_one_line(cli: Cli, data: Path) -> None:
    enable(data.parent / "postmeter.toml")
    assert told(cli("count", "refuse"), 2) == "this cannot be counted"
