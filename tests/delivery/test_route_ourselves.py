"""RFC 5321, 5.1: this relay among a domain's mail servers."""

from __future__ import annotations

import pytest
import pytest_twisted

from postmeter.delivery.ourselves import Ourselves
from postmeter.delivery.resolver import Status
from postmeter.delivery.route import DNS_FAILURE, LOOP, Router
from support.zone import Zone, addresses, refusal


class Us(Ourselves):
    """This relay is relay.test, and at 198.51.100.1."""

    def __init__(self) -> None:
        super().__init__(["relay.test"], lambda: 0.0, lambda address: address == "198.51.100.1")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own", ["Relay.test.", "alias.test."])
async def test_neither_we_nor_who_would_send_it_to_us_get_mail(own: str) -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("a.org", "MX"): ["10 first.test.", f"20 {own}", "30 behind.test."],
        ("b.org", "MX"): [f"10 {own}", "30 behind.test."],
        ("first.test", "A"): ["192.0.2.1"],
        ("relay.test", "A"): ["192.0.2.2"],
        ("alias.test", "A"): ["198.51.100.1"],
        ("behind.test", "A"): ["192.0.2.3"],
    }
    here = Router(Zone(zone), {}, lambda _: None, ourselves=Us())
    assert addresses(await here.route("a.org")) == ["192.0.2.1"]
    failure = refusal(await here.route("b.org"))
    assert (failure.kind, failure.reply) == ("routing", LOOP)
    assert failure.reply.transient


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own", ["relay.test.", "alias.test."])
@pytest.mark.parametrize("turned", [False, True])
async def test_who_is_as_preferred_as_we_are_gets_no_mail_in_any_order(own: str, turned: bool) -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("a.org", "MX"): ["10 first.test.", "20 beside.test.", f"20 {own}"],
        ("b.org", "MX"): ["20 beside.test.", f"20 {own}"],
        ("first.test", "A"): ["192.0.2.1"],
        ("beside.test", "A"): ["192.0.2.3"],
        ("relay.test", "A"): ["192.0.2.2"],
        ("alias.test", "A"): ["198.51.100.1"],
    }
    here = Router(Zone(zone), {}, list.reverse if turned else lambda _: None, ourselves=Us())
    assert addresses(await here.route("a.org")) == ["192.0.2.1"]
    assert refusal(await here.route("b.org")).reply == LOOP


@pytest_twisted.ensureDeferred
async def test_our_name_is_us_without_an_address_too() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("a.org", "MX"): ["10 relay.test.", "20 behind.test."],
        ("b.org", "MX"): ["10 first.test.", "20 relay.test.", "30 behind.test."],
        ("behind.test", "A"): ["192.0.2.3"],
        ("first.test", "A"): "failure",
        ("relay.test", "A"): "failure",
    }
    here = Router(Zone(zone), {}, lambda _: None, ourselves=Us())
    assert refusal(await here.route("a.org")).reply == LOOP
    assert refusal(await here.route("b.org")).reply == DNS_FAILURE
    assert refusal(await here.route("relay.test")).reply == LOOP
