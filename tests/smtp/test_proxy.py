"""The header of a proxy: both versions by the letter of proxy-protocol.txt, in any cutting, and nothing else."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.proxy import MAX_BLOCK, ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def block(command: int = 0x21, family: int = 0x11, addresses: bytes | None = None, more: bytes = b"") -> bytes:
    """A header of version 2."""
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 587)
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(addresses + more)) + addresses + more


IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
HEADERS = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 587\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 587\r\n", "2001:db8::7"),
    (b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", ":".join(["ffff"] * 8)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (block(), "192.0.2.7"),
    (block(family=0x21, addresses=IPV6 + struct.pack("!HH", 4711, 587)), "2001:db8::7"),
    (block(more=b"\x04\0\x03abc" * 20), "192.0.2.7"),  # what else the proxy knows (TLVs) is passed over
    (block(command=0x20), None),  # LOCAL: the proxy's own health check
    (block(command=0x20, family=0, addresses=b""), None),
]


@pytest.mark.parametrize(("header", "client"), HEADERS)
def test_a_header_tells_the_client_and_its_own_length(header: bytes, client: str | None) -> None:
    assert read_header(header + b"EHLO x\r\n") == ProxyHeader(client, len(header))


@pytest.mark.parametrize("header", [header for header, _ in HEADERS])
def test_a_header_that_is_not_all_there_is_waited_for(header: bytes) -> None:
    for end in range(len(header)):
        assert read_header(header[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO client.example\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 4711 587\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 587 1\r\n",
        b"PROXY TCP4 192.0.2.7  198.51.100.1 4711 587\r\n",
        b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 587\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 587\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 587\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 587\r\n",
        b"PROXY TCP4 192.0.2.7 mail.example 4711 587\r\n",
        b"PROXY TCP6 fe80::1%\x1b[2J ::1 4711 587\r\n",
        b"PROXY TCP6 ::1 fe80::1%eth0 4711 587\r\n",
        b"PROXY TCP4 192.0.2.\xb2 198.51.100.1 4711 587\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 4711 587\r\n",
        b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        block(command=0x22),
        block(command=0x11),
        block(family=0x12),  # UDP
        block(family=0x31, addresses=bytes(216)),  # a socket of the file system
        block(addresses=bytes(11)),
        block(family=0x21),
        block(more=bytes(MAX_BLOCK)),
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_header(data)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda rest: b"PROXY TCP" + rest))
def test_random_octets_raise_nothing_else(data: bytes) -> None:
    try:
        header = read_header(data)
    except ValueError:
        return
    assert header is None or header.size <= len(data)
