"""Whether a mail server is this relay itself."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.task import Clock

from postmeter.delivery.ourselves import REMEMBERED, Ourselves


def own_address() -> str | None:
    """The address this machine would send from; None when it has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 25))
        except OSError:
            return None
        return str(asking.getsockname()[0])


def test_we_are_known_by_our_name_in_any_letters() -> None:
    us = Ourselves(["Relay.Example", "out1.example"], lambda: 0.0)
    assert us.is_named("relay.example")
    assert us.is_named("RELAY.example")
    assert us.is_named("Out1.example")
    assert not us.is_named("mx.example")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1"])
def test_what_is_not_here_and_the_loopback_are_not_ours(address: str) -> None:
    assert not Ourselves(["relay.example"], lambda: 0.0).is_at(address)


def test_an_address_of_this_machine_is_ours() -> None:
    if (address := own_address()) is None:
        pytest.skip("this machine has no address but the loopback's")
    assert Ourselves(["relay.example"], lambda: 0.0).is_at(address)


def test_what_cannot_be_found_out_is_not_taken_for_ours() -> None:
    def unknown(_: str) -> bool:
        raise OSError

    assert not Ourselves(["relay.example"], lambda: 0.0, unknown).is_at("192.0.2.1")


def test_an_address_is_looked_at_once_a_minute() -> None:
    clock, looks = Clock(), []
    us = Ourselves(["relay.example"], clock.seconds, lambda address: not looks.append(address))
    assert us.is_at("192.0.2.1")
    assert us.is_at("192.0.2.1")
    clock.advance(REMEMBERED)
    assert us.is_at("192.0.2.1")
    assert looks == ["192.0.2.1"] * 2
