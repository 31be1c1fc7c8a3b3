"""What the world sees of us, with a DNS that the test writes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from postmeter.config import Delivery, Server, Settings
from postmeter.errors import UnreachableError
from postmeter.health import names
from postmeter.health import sources as sources_module
from postmeter.health.finding import Finding
from postmeter.health.sources import Ours, sources

OURS = ip_address("8.8.8.7")  # a public one, never asked for anything
NAME = "mail.example.net"
SETTINGS = Settings(server=Server(hostname=NAME))
PTR, A, TXT, MX = (OURS.reverse_pointer, "PTR"), (NAME, "A"), (NAME, "TXT"), (NAME, "MX")
GOOD = {PTR: [f"{NAME}."], A: [str(OURS)], TXT: ["v=spf1 a -all"], MX: ["10 mx.example.net."]}
Zone = dict[tuple[str, str], list[str]]


@pytest.fixture(autouse=True)
def one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail leaves from one public address."""
    monkeypatch.setattr(names, "sources", lambda settings: (Ours(OURS, NAME),))


def look(which: names.LookUp, zone: Zone) -> list[Finding]:
    def lookup(name: str, type: str) -> Sequence[str]:
        if not zone:
            raise UnreachableError(f"the DNS gives no answer about {name}: time-out")
        return zone.get((name, type), [])

    return list(which(SETTINGS, lookup))


@pytest.mark.parametrize("which", [names.reverse_names, names.sender_policy, names.reachable])
def test_what_is_right_is_fine_and_a_silent_dns_is_a_warning(which: names.LookUp) -> None:
    assert [found.state for found in look(which, GOOD)] == ["ok"]
    [found] = look(which, {})
    assert (found.state, "gives no answer" in found.text, bool(found.mend)) == ("warning", True, True)


@pytest.mark.parametrize(
    ("zone", "text", "mend"),
    [
        ({A: [str(OURS)]}, "has no PTR record", f"to {NAME}"),
        ({PTR: ["host7.provider.example."], A: [str(OURS)]}, f"but we greet as {NAME}", f"to {NAME}"),
        ({PTR: [f"{NAME}.", "other.example."], A: [str(OURS)]}, "is called mail.example.net, other.example", ""),
        ({PTR: [f"{NAME}."], A: ["8.8.4.4"]}, "does not lead back", f"the A record {OURS}"),
    ],
)
def test_an_address_and_our_name_must_lead_to_each_other(zone: Zone, text: str, mend: str) -> None:
    [found] = look(names.reverse_names, zone)
    assert found.state == "problem"
    assert text in found.text
    assert mend in found.mend


@pytest.mark.parametrize(
    ("record", "state", "text"),
    [
        ([], "warning", "has no SPF record"),
        (["v=spf1 -all"], "problem", f"does not let {OURS} send"),
        (["v=spf1 -all", "v=spf1 a"], "problem", "There are 2 SPF records"),
        (["v=spf1 a -all"], "ok", "v=spf1 a -all"),
    ],
)
def test_the_spf_record_of_our_name_is_judged(record: list[str], state: str, text: str) -> None:
    [found] = look(names.sender_policy, {A: [str(OURS)], TXT: record})
    assert found.state == state
    assert text in found.text


def test_mail_to_our_name_needs_somewhere_to_go() -> None:
    assert look(names.reachable, {A: [str(OURS)]})[0].text == f"goes to {OURS}"
    assert look(names.reachable, {PTR: []})[0].state == "warning"


@pytest.mark.parametrize(
    ("found", "state"), [(("8.8.8.7",), ["ok"]), (("10.0.0.7", "fd00::7"), ["warning"] * 2), ((), ["problem"])]
)
def test_a_private_source_address_is_explained(
    found: tuple[str, ...], state: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "sources", lambda settings: tuple(Ours(ip_address(one), NAME) for one in found))
    assert [one.state for one in names.source_addresses(SETTINGS)] == state


def test_with_a_server_that_delivers_for_us_its_addresses_count() -> None:
    settings = Settings(delivery=Delivery(routes={"*": "192.0.2.25:25"}))
    assert sources(settings) == ()
    [found] = names.source_addresses(settings)
    assert (found.state, "192.0.2.25:25" in found.text) == ("ok", True)


# Port 25


@contextmanager
def greeting(says: bytes) -> Iterator[int]:
    """A mail server that greets once; its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def greet() -> None:
            link, _ = door.accept()
            with link:
                link.sendall(says)
                link.recv(100)

        thread = threading.Thread(target=greet)
        thread.start()
        yield door.getsockname()[1]
        thread.join()


def outwards(port: int) -> Finding:
    [found] = names.way_out(Settings(delivery=Delivery(probe="127.0.0.1", port=port)))
    return found


def test_nobody_is_connected_to_unless_the_operator_names_him(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", None)
    [found] = names.way_out(SETTINGS)
    assert (found.state, "names no server" in found.text) == ("ok", True)


@pytest.mark.parametrize(
    ("says", "state"), [(b"220 mx ESMTP\r\n", "ok"), (b"554 no\r\n", "warning"), (b"\x00\r\n", "warning")]
)
def test_the_way_out_is_open_when_a_server_greets(says: bytes, state: str) -> None:
    with greeting(says) as port:
        assert outwards(port).state == state


def test_a_way_out_that_is_shut_is_a_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    found = outwards(port)
    assert (found.state, "open port 25" in found.mend) == ("problem", True)


# Pools

POOLED = Settings(
    server=Server(hostname=NAME),
    delivery=Delivery(pools={"transactional": "8.8.8.7=a.example 127.0.0.1=b.example", "bulk": "8.8.8.7=a.example"}),
)


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of the pools."""
    monkeypatch.setattr(names, "sources", sources)


def test_all_addresses_of_the_pools_count_and_the_default_ones_where_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = (
        Ours(OURS, "a.example", ("transactional", "bulk")),
        Ours(ip_address("127.0.0.1"), "b.example", ("transactional",)),
    )
    assert sources(POOLED) == (a, b)
    monkeypatch.setattr(sources_module, "_defaults", lambda: [OURS, ip_address("8.8.8.9")])
    bulk = Settings(server=Server(hostname=NAME), delivery=Delivery(pools={"bulk": "8.8.8.7=a.example"}))
    assert sources(bulk) == (Ours(OURS, "a.example", ("bulk",)), Ours(ip_address("8.8.8.9"), NAME))


def test_an_address_of_a_pool_has_to_be_on_this_machine(pooled: None) -> None:
    missing, private = names.source_addresses(POOLED)
    assert (missing.state, private.state) == ("problem", "warning")
    assert missing.text == f"this machine does not have {OURS} of transactional, bulk: no mail leaves from it"


def test_each_address_and_each_name_is_looked_up(pooled: None) -> None:
    zone = {PTR: ["a.example."], ("a.example", "A"): [str(OURS)], ("a.example", "TXT"): ["v=spf1 -all"]}

    def lookup(name: str, type: str) -> Sequence[str]:
        return zone.get((name, type), [])

    assert [found.text for found in names.reverse_names(POOLED, lookup)] == [f"{OURS} is a.example, and back"]
    policies = list(names.sender_policy(POOLED, lookup))
    assert [found.text for found in policies] == [f"{NAME} has no SPF record", f"a.example does not let {OURS} send"]
