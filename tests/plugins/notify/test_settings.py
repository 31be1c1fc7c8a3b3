"""The plugin's settings, commands and papers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from postmeter import ConfigError, PluginSettings
from postmeter.config import Settings
from postmeter.hooks import Plugins
from postmeter.store.own_mail import OPERATOR
from postmeter.store.tables import Message
from postmeter_notify.settings import KINDS, NotifySettings
from support.command import Cli, opened, printed, told, with_account
from support.postage import rows

README = Path(__file__).parents[3] / "plugins" / "postmeter_notify" / "README.md"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({"sender": "help"}, "sender: 'help' is not an address"),
        ({"sender": "a@b.example\r\nBcc: x@y.example"}, "sender: .* is not an address"),
        ({"sender": "Help <help@b.example>"}, "sender: .* is not an address"),
        ({"sender": "@b.example"}, "sender: .* is not an address"),
        ({"panel": "panel.example"}, "panel: 'panel.example' is not a URL"),
        ({"panel": "javascript:alert(1)"}, "panel: .* is not a URL"),
        ({"panel": "https://x.example/\nBcc: y"}, "panel: .* is not a URL"),
        ({"events": ("quota_lo",)}, "events: there is no kind 'quota_lo'; there are: quota_low, "),
    ],
)
def test_what_cannot_be_is_named(own: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"plugins.notify.{line}"):
        NotifySettings(**own)


def test_the_relay_loads_it_with_its_settings() -> None:
    enabled = attrs.evolve(Settings().plugins, enabled=("notify",), tables={"notify": {"language": "de"}})
    own = Plugins.load(Settings(plugins=enabled)).own("notify")
    assert isinstance(own, NotifySettings)
    assert (own.language, own.events) == ("de", KINDS)


def rows_of_settings() -> Iterator[str]:
    """The table's rows as the schema demands them."""
    common = {field.name for field in attrs.fields(PluginSettings)}
    for field in attrs.fields(NotifySettings):
        if field.name in common:
            continue
        choices = field.metadata["choices"]
        allowed = f": {', '.join(f'`{choice}`' for choice in choices)}" if choices else ""
        value = getattr(NotifySettings(), field.name)
        default = json.dumps(list(value) if isinstance(value, tuple) else value)
        yield f"| `{field.name}` | `{default}` | {field.metadata['help']}{allowed} |"


def test_the_readme_has_every_setting_and_every_kind() -> None:
    _, _, table = README.read_text("utf-8").partition("\n## Settings\n")
    assert [line for line in table.partition("\n## ")[0].splitlines() if line.startswith("| `")] == list(
        rows_of_settings()
    )
    kinds = re.findall(r"^\| `(\w+)` \|", README.read_text("utf-8").partition("\n## ")[0], re.MULTILINE)
    assert tuple(kinds) == KINDS


def test_the_language_of_an_account_is_set_and_shown(cli: Cli) -> None:
    with_account(cli)
    shown = [("en", ()), ("de", ("de",)), ("de", ()), ("en", ("default",)), ("en", ())]
    for language, arguments in shown:
        answer = printed(cli("notify", "language", "acme", *arguments, "--json"))
        assert answer == {"account": "acme", "language": language}


def test_a_test_goes_to_the_admins(cli: Cli, data: Path) -> None:
    with_account(cli)
    answer = printed(cli("notify", "test", "acme", "--json"))
    (sent,) = answer["sent"]
    assert (answer["account"], sent["to"]) == ("acme", "ann@acme.example")
    with opened(data) as store:
        assert [(m.id, m.account_id, m.subject) for m in rows(store, Message)] == [
            (sent["message"], OPERATOR, "acme: This is a test")
        ]
    assert sent["message"] in cli("queue").stdout
    assert "acme: This is a test" in cli("message", "show", sent["message"]).stdout


@pytest.mark.parametrize("arguments", [("language", "nobody", "de"), ("language", "nobody"), ("test", "nobody")])
def test_an_account_that_is_not_there_is_told(cli: Cli, arguments: tuple[str, ...]) -> None:
    with_account(cli)
    assert told(cli("notify", *arguments), 2) == "there is no account 'nobody'"
