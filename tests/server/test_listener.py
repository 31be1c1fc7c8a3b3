"""Listening sockets: who else is there, and why it cannot be."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread

from postmeter.config import Smtp
from postmeter.errors import ConfigError, UnreachableError
from postmeter.server.listener import bind, listen
from support.reception import reception
from support.relay import free_port


@pytest.fixture(params=[False, True], ids=["plain", "sharing"])
def occupied(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that somebody listens on, with or without SO_REUSEPORT."""
    with socket.socket() as other:
        if request.param:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_told_in_a_sentence(occupied: int) -> None:
    with pytest.raises(UnreachableError) as refused:
        bind("smtp.submission", f"127.0.0.1:{occupied}", 2)
    assert str(refused.value) == (
        f"smtp.submission: cannot listen on 127.0.0.1:{occupied}: "
        "the port is in use; is Postmeter, or another mail server, running already?"
    )


def test_the_processes_share_one_port() -> None:
    port = free_port()
    sockets = bind("smtp.submission", f"127.0.0.1:{port}", 3)
    assert [sock.getsockname() for sock in sockets] == [("127.0.0.1", port)] * 3
    for sock in sockets:
        sock.close()


def test_a_port_can_be_bound_again_at_once() -> None:
    port = free_port()
    for _ in range(2):
        [sock] = bind("smtp.submission", f"127.0.0.1:{port}")
        client = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(True)
        server, _address = sock.accept()
        server.close()  # the server closes first: its side waits
        client.close()
        sock.close()
    assert sock.fileno() == -1


@pytest.mark.parametrize(
    ("address", "reason"),
    [("192.0.2.1:2587", "Cannot assign requested address"), ("host.invalid:2587", "not known|failure in name")],
)
def test_an_address_that_is_not_ours_is_told(address: str, reason: str) -> None:
    with pytest.raises(UnreachableError, match=rf"smtp\.submission: cannot listen on {address}: .*({reason})"):
        bind("smtp.submission", address)


def test_what_is_no_address_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"smtp\.submission"):
        bind("smtp.submission", "2587")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_families_are_served_and_limited_by_address(host: str) -> None:
    shared = reception(reactor, smtp=Smtp(max_sessions_per_ip=1))
    [sock] = bind("smtp.submission", f"[{host}]:0" if ":" in host else f"{host}:0")
    with sock:
        port = listen(reactor, sock.fileno(), shared, implicit_tls=False)
    number = port.getHost().port  # type: ignore[attr-defined]

    def greet() -> list[bytes]:
        with socket.create_connection((host, number), 5) as one, socket.create_connection((host, number), 5) as two:
            return [one.recv(100)[:4], two.recv(100)[:4]]

    assert await deferToThread(greet) == [b"220 ", b"421 "]
    await maybeDeferred(port.stopListening)


def test_ipv6_does_not_take_the_ipv4_port_along() -> None:
    port = free_port()
    six, four = bind("a", f"[::]:{port}")[0], bind("b", f"0.0.0.0:{port}")[0]
    assert (six.family, four.family) == (socket.AF_INET6, socket.AF_INET)
    six.close()
    four.close()
