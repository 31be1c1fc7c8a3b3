"""README.md says what is true: every setting as config.py has it, every command as the program has it, no dead path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from postmeter.cli import main
from postmeter.config import Settings, load
from support.foreign import need_program

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return re.split(r"^## ", README.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def toml(value: Any) -> str:
    """A default as it is written in the configuration file."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def rows_of_settings() -> Iterator[str]:
    """The table's rows as config.py's metadata demand them."""
    for part in attrs.fields(Settings):
        defaults = getattr(Settings(), part.name)
        for field in attrs.fields(type(defaults)):
            if "help" not in field.metadata:  # the tables of single plugins
                continue
            choices = field.metadata["choices"]
            allowed = f": {', '.join(f'`{choice}`' for choice in choices)}" if choices else ""
            default = toml(getattr(defaults, field.name))
            yield f"| `{part.name}.{field.name}` | `{default}` | {field.metadata['help']}{allowed} |"


def commands(group: click.Group, path: str = "postmeter") -> Iterator[str]:
    """Every command that is shown, with the groups it is in; a group that is also a command counts itself."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield f"{path} {name}"
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}"


def named(text: str) -> set[str]:
    """The commands that a text names, without their arguments."""
    return {
        " ".join(words)
        for words in re.findall(r"\bpostmeter((?: [a-z]+)+)", text)
        for words in [["postmeter", *words.split()]]
    }


COMMANDS = set(commands(main))


def test_the_settings_table_has_every_key_with_its_default_and_meaning() -> None:
    rows = [line for line in section("Settings").splitlines() if line.startswith("| `")]
    assert rows == list(rows_of_settings())


def test_the_configuration_in_the_text_can_be_loaded(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        path = tmp_path / "postmeter.toml"
        path.write_text(example)
        assert load(path, {}).smtp.submission


def test_the_command_table_has_every_command() -> None:
    rows = re.findall(r"^\| `(postmeter[^`]*)`", section("Commands"), re.MULTILINE)
    assert {real(row) for row in rows} == COMMANDS


def real(text: str) -> str:
    """The longest command that a line of usage begins with; the line itself when there is none."""
    words = text.split()
    beginnings = [" ".join(words[:n]) for n in range(len(words), 1, -1)]
    return next((beginning for beginning in beginnings if beginning in COMMANDS), text)


@pytest.mark.parametrize("line", re.findall(r"^(?:.*&& )?\.venv/bin/(postmeter .*)$", README, re.MULTILINE))
def test_a_command_in_an_example_exists_with_its_options(line: str) -> None:
    command: click.Command = main
    for word in real(line).split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    known = {option for parameter in (*command.params, *main.params) for option in parameter.opts}
    assert set(re.findall(r"(?<= )--[a-z0-9-]+", line)) <= known


def test_what_is_said_to_be_missing_is_missing() -> None:
    missing = re.findall(r"`(postmeter [a-z ]+)`", section("Limits"))
    assert missing
    assert [name for name in missing if name in COMMANDS] == []


def test_the_debian_packages_are_those_that_are_installed_for_the_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8").partition("<<'PACKAGES'\n")[2].partition("\nPACKAGES\n")[0]
    (sentence,) = re.findall(r"On Debian they are the packages ([^;]*);", README)
    installed = [line.split()[0] for line in script.splitlines()]
    assert installed
    assert sorted(re.split(r",\s+|\s+and\s+", sentence)) == sorted(installed)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_program_a_test_is_skipped_and_fails_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="a-program-that-nobody-has is not installed"):
        need_program("a-program-that-nobody-has")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:core|web|tests|plugins|bench)/[\w./]+)`", README))))
def test_a_path_in_the_text_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "module", sorted(set(re.findall(r"`((?:smtp|message|quota|store|server|delivery)/\w+)`", README)))
)
def test_a_module_in_the_text_exists(module: str) -> None:
    assert (ROOT / "core" / "postmeter" / f"{module}.py").exists()
