"""TLS without a socket: any cutting, the peer's end, and what is not TLS."""

from __future__ import annotations

import ssl
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.server.channel import Channel
from support.reception import certificate, trusting
from support.tls_client import TlsClient, meet


def connected() -> tuple[Channel, TlsClient]:
    """A session after its handshake."""
    channel = certificate().channel()
    return channel, meet(channel, trusting())


def test_text_passes_both_ways() -> None:
    channel, client = connected()
    assert channel.established
    assert channel.receive(client.seal(b"EHLO x\r\n")) == b"EHLO x\r\n"
    assert channel.version == "TLSv1.3"
    assert client.open(channel.send(b"250 Ok\r\n")) == b"250 Ok\r\n"


@settings(max_examples=25)
@given(st.binary(max_size=100_000), st.lists(st.integers(0, 100_000), max_size=12))
def test_the_cutting_does_not_matter(text: bytes, places: list[int]) -> None:
    channel, client = connected()
    sealed = client.seal(text)
    cuts = sorted({0, len(sealed), *(place for place in places if place < len(sealed))})
    got = b"".join(channel.receive(sealed[a:b]) for a, b in pairwise(cuts))
    assert got == text
    assert not channel.ended


def test_the_clients_last_word_is_noticed_with_what_came_before_it() -> None:
    channel, client = connected()
    sealed = client.seal(b"QUIT\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert channel.receive(sealed + client.seal(b"")) == b"QUIT\r\n"
    assert channel.ended


def test_our_last_word_reaches_the_client() -> None:
    channel, client = connected()
    channel.receive(client.seal(b"QUIT\r\n"))
    assert client.open(channel.send(b"221 Bye\r\n") + channel.close()) == b"221 Bye\r\n"
    assert client.tls.read() == b""


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"EHLO client.example\r\n"])
def test_what_is_not_tls_is_an_error_with_an_alert_at_most(data: bytes) -> None:
    channel = certificate().channel()
    with pytest.raises(ssl.SSLError):
        channel.receive(data)
    assert channel.outgoing()[:1] in (b"", b"\x15")  # the content type of an alert


def test_a_forged_record_is_an_error() -> None:
    channel, client = connected()
    channel.receive(client.seal(b"NOOP\r\n"))
    sealed = bytearray(client.seal(b"MAIL FROM:<a@shop.example>\r\n"))
    sealed[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        channel.receive(bytes(sealed))
