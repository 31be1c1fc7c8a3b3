"""The plugin's README says what is true: its settings, its commands, its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

import postmeter_billing
from postmeter import PluginSettings
from postmeter.config import load
from postmeter.hooks import Plugins
from postmeter_billing.commands import billing
from postmeter_billing.settings import BillingSettings
from postmeter_billing.tables import metadata

README = (Path(postmeter_billing.__file__).parent / "README.md").read_text("utf-8")
COMMON = {field.name for field in attrs.fields(PluginSettings)}


def rows_of_settings() -> Iterator[str]:
    defaults = BillingSettings()
    for field in attrs.fields(BillingSettings):
        if field.name not in COMMON:
            choices = field.metadata["choices"]
            allowed = f": {', '.join(f'`{choice}`' for choice in choices)}" if choices else ""
            default = json.dumps(getattr(defaults, field.name))
            yield f"| `{field.name}` | `{default}` | {field.metadata['help']}{allowed} |"


def rows(title: str) -> list[str]:
    section = README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_table_of_settings_is_that_of_the_schema() -> None:
    assert rows("Settings") == list(rows_of_settings())


def test_the_table_of_commands_has_every_command() -> None:
    named = re.findall(r"^\| `postmeter billing ([a-z]+)", "\n".join(rows("Commands")), re.MULTILINE)
    assert sorted(named) == sorted(billing.commands)


def test_the_tables_are_named() -> None:
    assert set(re.findall(r"^\| `(\w+)`", "\n".join(rows("Tables")), re.MULTILINE)) == set(metadata.tables)


def test_the_example_can_be_loaded_and_is_enough(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "postmeter.toml").write_text(example, "utf-8")
    settings = Plugins.load(load(tmp_path / "postmeter.toml", {})).own("billing")
    assert isinstance(settings, BillingSettings)
    assert settings.terms().seller.name
