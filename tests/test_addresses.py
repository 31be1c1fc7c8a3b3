"""Addresses that strangers may make us connect to, and others."""

from __future__ import annotations

import pytest

from postmeter.addresses import is_public


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
        *("192.0.0.8", "192.168.1.1", "198.18.0.1", "198.19.255.255", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "64:ff9b::1.2.3.4", "2002:7f00:1::"),
        *("192.88.99.1", "64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "2001:0:7f00:1::", "2001:10::1", "4000::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1%eth0", "localhost", "0x7f.1", ""),
    ],
)
def test_these_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "223.255.255.255", "2001:4860::1", "::ffff:8.8.8.8"]
)
def test_these_are_public(address: str) -> None:
    assert is_public(address)
