"""A plugin that is broken is named, and takes along neither the relay's own commands nor those of its neighbours."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import text

from postmeter import Core, Settings, console, hookimpl, hooks, pass_core
from support.command import Cli, printed, told

ENABLED = '[plugins]\nenabled = ["sound", "broken"]'


@click.group()
def sound() -> None:
    """Is well."""


@sound.command()
@console.json_option
@pass_core
def write(core: Core, as_json: bool) -> None:
    """Write a row."""
    with core.write() as session:
        session.execute(text("INSERT INTO sound_row VALUES (1)"))
    console.show(as_json, core.name, core.name)


class Sound:
    """A plugin with a command and a table."""

    @hookimpl
    def migrations(self) -> list[Any]:
        return [lambda connection: connection.execute(text("CREATE TABLE sound_row (n INTEGER)"))]

    @hookimpl
    def commands(self) -> list[click.Command]:
        return [sound]


class Broken:
    """Its neighbour, which answers what it is told to."""

    def __init__(self) -> None:
        self.offers: Callable[[], Any] = list
        self.steps: Callable[[], Any] = list
        self.runs: Callable[[], Any] = list

    @hookimpl
    def commands(self) -> Any:
        return self.offers()

    @hookimpl
    def migrations(self) -> Any:
        return self.steps()

    @hookimpl
    def services(self, settings: Settings) -> Any:
        return self.runs()


class Entry:
    """An installed plugin."""

    def __init__(self, name: str, plugin: object) -> None:
        self.name = name
        self._plugin = plugin

    def load(self) -> object:
        return self._plugin


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, data: Path) -> Broken:
    """The neighbour; both are enabled."""
    made = Broken()
    monkeypatch.setattr(hooks, "entry_points", lambda group: [Entry("sound", Sound()), Entry("broken", made)])
    (data.parent / "postmeter.toml").write_text(ENABLED)
    return made


def raising() -> Any:
    raise ValueError("no")


def leaving() -> Any:
    sys.exit(0)


def rubbish() -> Any:
    return [1]


ANSWERS = pytest.mark.parametrize("answer", [raising, leaving, rubbish, lambda: 7])


@ANSWERS
def test_commands_that_cannot_be_had_cost_a_line_of_the_help(
    cli: Cli, broken: Broken, answer: Callable[[], Any]
) -> None:
    broken.offers = answer
    result = cli("--help")
    assert result.exit_code == 0
    assert "sound " in result.stdout
    assert "queue " in result.stdout
    assert result.stderr.startswith("postmeter: plugins.enabled: the plugin 'broken' cannot be used: ")
    assert result.stderr.count("\n") == 1


@ANSWERS
def test_a_neighbours_command_runs(cli: Cli, broken: Broken, answer: Callable[[], Any]) -> None:
    broken.offers = answer
    assert printed(cli("sound", "write", "--json")) == "sound"
    assert "the plugin 'broken' cannot be used" in told(cli("broken", "run"), 3)


@ANSWERS
def test_a_neighbours_tables_are_not_looked_at(cli: Cli, broken: Broken, answer: Callable[[], Any]) -> None:
    broken.steps = answer
    assert printed(cli("sound", "write", "--json")) == "sound"


@ANSWERS
@pytest.mark.parametrize("offer", ["offers", "steps", "runs"])
def test_check_names_it(cli: Cli, broken: Broken, offer: str, answer: Callable[[], Any]) -> None:
    setattr(broken, offer, answer)
    [found] = [one for one in cli("check").stdout.splitlines() if " plugins: " in one]
    assert found.startswith("problem  plugins: plugins.enabled: the plugin 'broken' cannot be used: ")


@pytest.mark.parametrize("content", ["nonsense", "[smtp]\nport = 25", "[plugins.nobody]\na = 1"])
def test_a_configuration_that_is_wrong_costs_a_line_of_the_help(cli: Cli, data: Path, content: str) -> None:
    (data.parent / "postmeter.toml").write_text(content)
    asked, bare = cli("--help"), cli()
    assert (asked.exit_code, bare.exit_code) == (0, 2)
    for result in (asked, bare):
        assert "quota " in result.output
    assert asked.stderr.startswith("postmeter: ")
    assert asked.stderr.count("\n") == 1
    assert asked.stderr in bare.stderr
    assert told(cli("sound", "write"), 3)


@pytest.mark.parametrize("arguments", [["sound"], ["sound", "--help"], ["sound", "write", "--help"], ["sound", "x"]])
@pytest.mark.usefixtures("broken")
def test_what_is_only_asked_for_its_help_makes_and_opens_nothing(
    cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    assert "Usage: " in cli(*arguments).output
    assert not data.exists()
    monkeypatch.setenv("POSTMETER_STORE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert "Usage: " in cli(*arguments).output


@pytest.fixture
def usual_mask() -> Iterator[None]:
    """That of a shell, by which all may read what is made."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("broken", "usual_mask")
def test_what_it_makes_is_for_nobody_else_to_read(cli: Cli, data: Path) -> None:
    printed(cli("sound", "write", "--json"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.iterdir())}
    assert {"data", "postmeter.db", "secret.key"} <= set(modes)
    assert [name for name, mode in modes.items() if mode & 0o077] == []
