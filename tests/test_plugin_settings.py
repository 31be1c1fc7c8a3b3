"""Settings of plugins: each plugin's own table and variables, and no word that nobody would read."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import frozen

from postmeter.config import load
from postmeter.errors import ConfigError
from postmeter.plugin_settings import PluginSettings, plugin_settings
from postmeter.setting import setting

FILE = """
[plugins]
enabled = ["billing", "stores", "stores_more", "absent"]
[plugins.billing]
currency = "CHF"
prices = { "25000" = "0.00095" }
[plugins.absent]
anything = 7
"""


@frozen
class Billing(PluginSettings):
    """Settings of one plugin."""

    currency: str = setting("EUR", "of all prices")
    day: int = setting(1, "of the month", least=1, most=28)
    prices: dict[str, str] = setting({}, "by size")


SCHEMAS: dict[str, type[PluginSettings]] = {"billing": Billing, "stores": PluginSettings, "stores_more": Billing}


def read(path: Path, text: str = FILE, **environment: str) -> dict[str, PluginSettings]:
    file = path / "postmeter.toml"
    file.write_text(text)
    variables = {f"POSTMETER_PLUGINS_{name}": value for name, value in environment.items()}
    return plugin_settings(load(file, variables).plugins, SCHEMAS)


def test_each_plugin_has_its_table_and_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path) == {
        "billing": Billing(currency="CHF", prices={"25000": "0.00095"}),
        "stores": PluginSettings(policy="tempfail", time_limit=2),
        "stores_more": Billing(),
    }


def test_the_environment_comes_over_the_file_and_finds_the_longest_name(tmp_path: Path) -> None:
    found = read(tmp_path, BILLING_CURRENCY="USD", BILLING_DAY="7", STORES_MORE_POLICY="open", ABSENT_THING="1")
    assert found["billing"] == Billing(currency="USD", day=7, prices={"25000": "0.00095"})
    assert (found["stores"].policy, found["stores_more"].policy) == ("tempfail", "open")


@pytest.mark.parametrize(
    ("text", "variables", "complaint"),
    [
        ("[plugins.billing]\ncolour = 1", {}, "unknown setting plugins.billing.colour"),
        ("[plugins.billing]\nday = 29", {}, "plugins.billing.day must be at most 28"),
        ("[plugins.billing]\npolicy = 'maybe'", {}, "plugins.billing.policy must be one of tempfail, open"),
        ("[plugins.other]\na = 1", {}, "plugins.enabled names no such plugin"),
        ("[plugins]\nother = 1", {}, "unknown setting plugins.other"),
        ("", {"BILLING_COLOUR": "red"}, "POSTMETER_PLUGINS_BILLING_COLOUR"),
        ("", {"BILLING_DAY": "soon"}, "plugins.billing.day: 'soon' is not a whole number"),
        ("", {"OTHER_A": "1"}, "unknown setting plugins.other_a"),
    ],
)
def test_what_nobody_would_read_is_an_error(
    tmp_path: Path, text: str, variables: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read(tmp_path, text, **variables)
