"""The pools of addresses that mail leaves from: what the setting may say, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.config import load
from postmeter.errors import ConfigError, UsageError
from postmeter.source import Source, known, pools


def test_addresses_with_one_name_belong_together() -> None:
    text = "192.0.2.5=MX1.example.net 2001:DB8::5=mx1.example.net 192.0.2.6=mx2.example.net 192.0.2.7=mx1.example.net"
    assert pools({"transactional": text, "bulk": "192.0.2.6=mx2.example.net"}) == {
        "transactional": (
            Source("mx1.example.net", "192.0.2.5", "2001:db8::5"),
            Source("mx1.example.net", "192.0.2.7"),
            Source("mx2.example.net", "192.0.2.6"),
        ),
        "bulk": (Source("mx2.example.net", "192.0.2.6"),),
    }


def test_a_source_has_an_address_towards_servers_of_its_families() -> None:
    one = Source("mx1.example.net", "192.0.2.5", "2001:db8::5")
    assert (one.towards("198.51.100.1"), one.towards("2001:db8:1::1")) == ("192.0.2.5", "2001:db8::5")
    assert Source("mx1.example.net", "192.0.2.5").towards("2001:db8:1::1") == ""


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"Pool": "192.0.2.5=a.example"}, "the name of a pool has up to 40 small letters, digits, - and _"),
        ({"a b": "192.0.2.5=a.example"}, "the name of a pool has up to 40"),
        ({"p": " "}, "delivery.pools.p has no address"),
        ({"p": "192.0.2.5"}, "'' (of 192.0.2.5) is not a host name in ASCII letters"),
        ({"p": "192.0.2.5=a_b.example"}, "'a_b.example' (of 192.0.2.5) is not a host name"),
        ({"p": "mx1.example.net=192.0.2.5"}, "'mx1.example.net=192.0.2.5' is not of the form ADDRESS=EHLO-NAME"),
        ({"p": "192.0.2.0/24=a.example"}, "is not of the form ADDRESS=EHLO-NAME"),
        ({"p": "0.0.0.0=a.example"}, "mail cannot leave from 0.0.0.0"),
        ({"p": "::ffff:192.0.2.5=a.example"}, "mail cannot leave from ::ffff:192.0.2.5"),
        ({"p": "fe80::1%eth0=a.example"}, "mail cannot leave from fe80::1%eth0"),
        ({"p": "192.0.2.5=a.example 192.0.2.5=a.example"}, "192.0.2.5 is named twice"),
        ({"p": "192.0.2.5=a.example", "q": "192.0.2.5=b.example"}, "192.0.2.5 has two names, a.example and b.example"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, str], error: str) -> None:
    with pytest.raises(ConfigError, match=r"^delivery\.pools\.") as caught:
        pools(table)
    assert error in str(caught.value)


def test_the_settings_are_not_loaded_with_a_wrong_pool(tmp_path: Path) -> None:
    path = tmp_path / "postmeter.toml"
    path.write_text('[delivery.pools]\ntransactional = "mx1.example.net"\n')
    with pytest.raises(ConfigError, match="ADDRESS=EHLO-NAME"):
        load(path, {})
    environment = {"POSTMETER_DELIVERY_POOLS": "transactional=192.0.2.5=a.example 192.0.2.6=b.example"}
    assert load(None, environment).delivery.pools == {"transactional": "192.0.2.5=a.example 192.0.2.6=b.example"}


def test_a_name_that_no_pool_has_is_refused() -> None:
    assert known({"bulk": ""}, "bulk") == "bulk"
    with pytest.raises(UsageError, match="there is no pool 'bulk'; there are: probation, transactional"):
        known({"probation": "", "transactional": ""}, "bulk")
    with pytest.raises(UsageError, match=r"there is no pool 'bulk'; delivery\.pools has none"):
        known({}, "bulk")
