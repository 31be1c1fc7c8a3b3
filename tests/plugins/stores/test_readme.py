"""The plugin's README says what is true: settings, commands, credentials, custom fields, tables, files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

import postmeter_stores
from postmeter_stores.commands import store
from postmeter_stores.kinds import KINDS
from postmeter_stores.reference import Pattern
from postmeter_stores.settings import Settings
from postmeter_stores.shopware import LABELS
from postmeter_stores.tables import Base

FOLDER = Path(postmeter_stores.__file__).parent
README = (FOLDER / "README.md").read_text("utf-8")


def toml(value: Any) -> str:
    """A default as it is written in the configuration file."""
    return json.dumps(value)


def test_the_settings_are_all_there_with_default_and_meaning() -> None:
    rows = []
    for field in attrs.fields(Settings):
        choices = field.metadata["choices"]
        allowed = f": {', '.join(f'`{choice}`' for choice in choices)}" if choices else ""
        default = toml(getattr(Settings(), field.name))
        rows.append(f"| `plugins.stores.{field.name}` | `{default}` | {field.metadata['help']}{allowed} |")
    assert [line for line in README.splitlines() if line.startswith("| `plugins.")] == rows


def test_the_commands_are_all_there_with_their_options() -> None:
    found = dict(re.findall(r"^\| `postmeter store (\w+)([^\n]*)", README, re.MULTILINE))
    assert set(found) == set(store.commands)
    for name, text in found.items():
        known = {option for parameter in store.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", text)) <= known


def test_the_examples_are_commands_that_exist() -> None:
    for line in re.findall(r"^postmeter store (.*)$", README, re.MULTILINE):
        command = store.commands[line.split()[0]]
        assert isinstance(command, click.Command)
        assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= {o for p in command.params for o in p.opts}


def test_the_credentials_of_each_kind_are_named() -> None:
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|(.*)\|$", README, re.MULTILINE)}
    assert set(rows) == set(KINDS)
    for name, kind in KINDS.items():
        cells = dict(zip(("key", "secret", "token", "token_secret"), map(str.strip, rows[name]), strict=True))
        titles = {key: text.removesuffix(", if requests are signed") for key, text in cells.items() if text}
        assert titles == {**kind.needs, **kind.may}


def test_the_variables_are_those_of_the_options() -> None:
    named = {p.envvar for p in store.commands["connect"].params if isinstance(p, click.Option) and p.envvar}
    assert set(re.findall(r"`(STORE_\w+)`", README)) == named


def test_the_patterns_in_the_text_can_be_used() -> None:
    found = [*re.findall(r"--pattern '([^']+)'", README), *re.findall(r"`([^`\n]*\((?!\?)[^`\n]*\))`", README)]
    assert len(found) >= 4
    for pattern in found:
        Pattern(pattern)


def test_the_fields_and_the_tables_are_those_that_are_made() -> None:
    assert set(re.findall(r"`(postmeter_\w+)`", README)) == {*LABELS, "postmeter_stores"}
    assert set(re.findall(r"`(stores_\w+)`", README)) == set(Base.metadata.tables)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(shop/[\w./-]+)`", README))))
def test_a_path_in_the_text_exists(path: str) -> None:
    assert (FOLDER / path).exists()
