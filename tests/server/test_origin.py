"""Which addresses are one client's."""

from __future__ import annotations

import pytest

from postmeter.server.origin import network, origin


@pytest.mark.parametrize(
    ("address", "counted_as", "within"),
    [
        ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
        ("::FFFF:c000:24d", "192.0.2.77", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64", "2001:db8::/64"),
        ("2001:0DB8:0:0:ffff::2", "2001:db8::/64", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/64"),
        ("::1", "::/64", "::/64"),
    ],
)
def test_an_ipv4_address_counts_alone_and_of_ipv6_a_network_of_64_bits(
    address: str, counted_as: str, within: str
) -> None:
    assert origin(address) == counted_as
    assert network(address) == within
