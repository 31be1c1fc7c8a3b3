"""What the plugin adds, counts and forgets: on the bench, and once in the running relay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from postmeter import ConfigError
from postmeter.testing import CUSTOMER, Bench, Recipients, Shop

from postmeter_yourplugin import DAY, OwnSettings

pytestmark = pytest.mark.plugin_settings(organization="Example Hosting", keep_days=7)


def counted(bench: Bench) -> Any:
    """What the command prints for machines."""
    return json.loads(bench.invoke("yourplugin", "--json").output)


def test_every_mail_says_who_sends(bench: Bench) -> None:
    assert bench.accept().header.startswith(b"Organization: Example Hosting\r\n")


@pytest.mark.plugin_settings(organization="")
def test_without_the_setting_nothing_is_added(bench: Bench) -> None:
    assert bench.ask("on_accept", bench.message()) == []


def test_what_cannot_be_a_field_is_no_setting() -> None:
    with pytest.raises(ConfigError):
        OwnSettings(organization="two\nlines")


def test_outcomes_are_counted_by_domain(bench: Bench) -> None:
    message = bench.accept(bench.message("anna@kunde.example", "unknown@KUNDE.example", "joe@other.example"))
    bench.bounce(message, "unknown@KUNDE.example")
    bench.deliver(message)
    bench.tell()
    assert counted(bench) == [
        {"domain": "kunde.example", "delivered": 1, "bounced": 1},
        {"domain": "other.example", "delivered": 1, "bounced": 0},
    ]
    assert "kunde.example" in bench.invoke("yourplugin").output


def test_an_event_that_is_told_again_counts_once(bench: Bench) -> None:
    bench.deliver(bench.accept())
    bench.tell()
    bench.tell(again=True)
    assert counted(bench) == [{"domain": "kunde.example", "delivered": 1, "bounced": 0}]


def test_old_outcomes_are_forgotten(bench: Bench) -> None:
    bench.deliver(bench.accept())
    bench.tell()
    bench.run_jobs()
    assert counted(bench) != []
    bench.clock.advance(7 * DAY + 1)
    bench.run_jobs()
    assert counted(bench) == []


def test_in_the_running_relay_the_field_arrives(shop: Shop, recipients: Recipients) -> None:
    shop.send(CUSTOMER)
    assert recipients.wait(CUSTOMER).message["Organization"] == "Example Hosting"
