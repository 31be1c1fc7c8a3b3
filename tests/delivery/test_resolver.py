"""The stub resolver against a scripted DNS server on loopback."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.error import CannotListenError

from postmeter.delivery import dns_transport
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.resolver import MAX_ASKED, MAX_RECORDS, Answer, Resolver, Server, servers, system_servers
from postmeter.dns_response import bounded, matching
from postmeter.errors import ConfigError
from support.dns_server import FOREIGN, NXDOMAIN, SERVFAIL, SILENCE, DnsServer
from support.hours import Hours

NewServer = Callable[..., DnsServer]


def resolver(*found: DnsServer, clock: Any = reactor) -> Resolver:
    return Resolver(clock, tuple(Server("127.0.0.1", server.port) for server in found))


def texts(answer: Answer) -> list[str]:
    return [record.to_text() for record in answer.records]


@pytest_twisted.ensureDeferred
async def test_records_are_found_and_kept_for_their_time_to_live(dns_server: NewServer) -> None:
    clock = Hours()
    server = dns_server({("example.org", "MX"): ["10 mx.example.org."]}, ttl=300)
    here = resolver(server, clock=clock)
    for _ in range(3):
        answer = await here.lookup("Example.ORG.", "MX")
        assert (answer.status, texts(answer)) == ("ok", ["10 mx.example.org."])
    assert len(server.questions) == 1
    clock.later = 301
    await here.lookup("example.org", "MX")
    assert len(server.questions) == 2


@pytest_twisted.ensureDeferred
async def test_a_time_to_live_of_zero_is_half_a_minute_and_of_a_week_is_a_day(dns_server: NewServer) -> None:
    for ttl, kept in ((0, 29), (604_800, 86_399)):
        clock = Hours()
        server = dns_server({("example.org", "A"): ["192.0.2.1"]}, ttl=ttl)
        here = resolver(server, clock=clock)
        for clock.later, asked in ((0, 1), (kept, 1), (kept + 2, 2)):
            await here.lookup("example.org", "A")
            assert len(server.questions) == asked


@pytest_twisted.ensureDeferred
async def test_absence_is_kept_for_ten_minutes_at_most(dns_server: NewServer) -> None:
    clock = Hours()
    server = dns_server({("example.org", "A"): ["192.0.2.1"]})
    server.negative_ttl = 86_400
    here = resolver(server, clock=clock)
    for clock.later, asked in ((0, 2), (599, 2), (601, 4)):
        assert (await here.lookup("nowhere.test", "MX")).status == "nxdomain"
        assert (await here.lookup("example.org", "MX")).status == "nodata"
        assert len(server.questions) == asked


@pytest_twisted.ensureDeferred
async def test_an_answer_says_how_old_it_is(dns_server: NewServer) -> None:
    clock = Hours()
    here = resolver(dns_server({("example.org", "A"): ["192.0.2.1"]}), clock=clock)
    for clock.later, age in ((0, 0), (200, 200), (250, 250), (301, 0), (311, 10)):
        assert (await here.lookup("example.org", "A")).age == age


@pytest_twisted.ensureDeferred
async def test_the_same_question_is_asked_once_at_a_time(dns_server: NewServer) -> None:
    server = dns_server({("example.org", "A"): ["192.0.2.1"]})
    here = resolver(server)
    answers = await gatherResults([ensureDeferred(here.lookup("example.org", "A")) for _ in range(20)])
    assert {answer.status for answer in answers} == {"ok"}
    assert len(server.questions) == 1


@pytest_twisted.ensureDeferred
async def test_a_truncated_answer_is_asked_for_over_tcp(dns_server: NewServer) -> None:
    server = dns_server({("example.org", "TXT"): [f'"{number} {"x" * 200}"' for number in range(50)]})
    server.truncated.add(("example.org", "TXT"))
    answer = await resolver(server).lookup("example.org", "TXT")
    assert len(answer.records) == 50
    assert [transport for _, _, transport in server.questions] == ["udp", "tcp"]


@pytest_twisted.ensureDeferred
async def test_no_more_than_a_hundred_records_are_taken(dns_server: NewServer) -> None:
    server = dns_server({("example.org", "A"): [f"192.0.{number // 250}.{number % 250}" for number in range(3000)]})
    server.truncated.add(("example.org", "A"))
    assert len((await resolver(server).lookup("example.org", "A")).records) == MAX_RECORDS


def test_of_a_response_of_64_kb_only_so_many_records_are_read() -> None:
    query = dns.message.make_query("evil.test", "MX")
    response = dns.message.make_response(query)
    name = ".".join("a" * 17) + ".evil.test."
    response.answer.append(dns.rrset.from_text("evil.test.", 300, "IN", "MX", f"0 {name}"))
    head = response.to_wire()
    pointer = struct.pack("!H", 0xC000 | head.index(b"\x01a"))
    for more in (127, 4_000):
        records = [struct.pack("!HHHIHH", 0xC00C, 15, 1, 300, 4, n) + pointer for n in range(1, more + 1)]
        wire = head[:6] + struct.pack("!H", more + 1) + head[8:] + b"".join(records)
        read = dns.message.from_wire(bounded(wire), ignore_trailing=True)
        assert [len(rrset) for rrset in read.answer] == [128]
        assert read.answer[0][-1].to_text() == f"127 {name}"
        assert query.is_response(read)
        assert matching(query, wire) == read


@pytest.mark.parametrize(("labels", "read"), [(20, True), (21, False), (119, False)])
@pytest.mark.parametrize("type", ["MX", "CNAME", "A"])
def test_a_response_with_a_name_of_so_many_labels_is_nonsense(type: str, labels: int, read: bool) -> None:
    name = ".".join("a" * (labels - 3)) + ".evil.test."  # the root is one
    query = dns.message.make_query(name if type == "A" else "evil.test.", type)
    response = dns.message.make_response(query)
    said = {"MX": f"10 {name}", "CNAME": name, "A": "192.0.2.1"}[type]
    response.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", type, said))
    assert (matching(query, response.to_wire()) is not None) is read


def test_a_response_without_answers_keeps_what_says_how_long_that_holds() -> None:
    response = dns.message.make_response(dns.message.make_query("no.test", "MX"))
    response.authority.append(dns.rrset.from_text("test.", 300, "IN", "SOA", "a. b. 1 2 3 4 5"))
    assert bounded(response.to_wire()) == response.to_wire()
    assert bounded(b"short") == b"short"


@pytest_twisted.ensureDeferred
async def test_an_answer_with_another_id_and_nonsense_are_ignored(dns_server: NewServer) -> None:
    server = dns_server({("example.org", "A"): FOREIGN, ("example.org", FOREIGN): ["192.0.2.7"]})
    assert texts(await resolver(server).lookup("example.org", "A")) == ["192.0.2.7"]


@pytest_twisted.ensureDeferred
async def test_aliases_are_followed_but_not_for_ever(dns_server: NewServer) -> None:
    zone: dict[tuple[str, str], list[str] | str] = {("a.test", "CNAME"): ["b.test."], ("b.test", "A"): ["192.0.2.1"]}
    zone |= {(f"c{number}.test", "CNAME"): [f"c{number + 1}.test."] for number in range(20)}
    zone |= {("c20.test", "A"): ["192.0.2.2"], ("l1.test", "CNAME"): ["l2.test."], ("l2.test", "CNAME"): ["l1.test."]}
    here = resolver(dns_server(zone))
    assert texts(await here.lookup("a.test", "A")) == ["192.0.2.1"]
    assert texts(await here.lookup("c12.test", "A")) == ["192.0.2.2"]
    assert (await here.lookup("c11.test", "A")).status == "failure"
    assert (await here.lookup("l1.test", "A")).status == "failure"


@pytest_twisted.ensureDeferred
async def test_the_next_server_is_asked_when_one_fails(dns_server: NewServer) -> None:
    bad = dns_server({("example.org", "A"): SERVFAIL})
    good = dns_server({("example.org", "A"): ["192.0.2.1"]})
    assert (await resolver(bad, good).lookup("example.org", "A")).status == "ok"


@pytest_twisted.ensureDeferred
async def test_servfail_and_nobody_there_are_failures(dns_server: NewServer) -> None:
    bad = dns_server({("example.org", "A"): SERVFAIL})
    assert (await resolver(bad).lookup("example.org", "A")).status == "failure"
    assert len(bad.questions) == 2
    await bad.stop()
    assert (await resolver(bad).lookup("other.example.org", "A")).status == "failure"


@pytest_twisted.ensureDeferred
async def test_a_silent_server_is_a_failure_after_two_tries(
    dns_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_transport, "TIMEOUT", 0.05)
    server = dns_server({("example.org", "A"): SILENCE})
    assert (await resolver(server).lookup("example.org", "A")).status == "failure"
    assert len(server.questions) == 2


@pytest_twisted.ensureDeferred
async def test_only_a_resolver_on_this_machine_is_believed_about_dnssec(dns_server: NewServer) -> None:
    zone: dict[tuple[str, str], list[str] | str] = {("example.org", "A"): ["192.0.2.1"], ("no.test", "A"): NXDOMAIN}
    here = resolver(dns_server(zone, ad=True))
    assert (await here.lookup("example.org", "A")).authenticated
    assert (await here.lookup("no.test", "A")).authenticated
    assert not (await resolver(dns_server(zone)).lookup("example.org", "A")).authenticated
    assert not Server("192.0.2.53").local


@pytest_twisted.ensureDeferred
async def test_a_name_that_cannot_be_does_not_exist(dns_server: NewServer) -> None:
    server = dns_server({})
    for name in ("a..b", "x" * 64 + ".org", "\ud800.org"):
        assert (await resolver(server).lookup(name, "A")).status == "nxdomain"
    assert not server.questions


@pytest_twisted.ensureDeferred
async def test_an_international_name_is_asked_for_in_its_ascii_form(dns_server: NewServer) -> None:
    server = dns_server({("xn--exmple-cua.org", "A"): ["192.0.2.1"]})
    assert (await resolver(server).lookup("exämple.org", "A")).status == "ok"


def test_the_setting_or_the_system_names_the_servers(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# x\nsearch a.b\nnameserver 192.0.2.1\nnameserver\nnameserver ::1\nnameserver 3\nnameserver 4\n")
    assert system_servers(file) == (Server("192.0.2.1"), Server("::1"), Server("3"))
    assert system_servers(tmp_path / "none") == (Server("127.0.0.1"),)
    assert servers("127.0.0.1:5353") == (Server("127.0.0.1", 5353),)
    assert servers("[::1]:5353") == (Server("::1", 5353),)
    with pytest.raises(ConfigError):
        servers("127.0.0.1")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("error", [OSError("no files left"), CannotListenError("", 0, OSError("no files left"))])
async def test_no_question_can_be_sent_without_files(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    here = Hours()

    def listen(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(here, "listenUDP", listen, raising=False)
    assert await Resolver(here, (Server("127.0.0.1"),)).lookup("example.org", "MX") == Answer("failure")


@pytest_twisted.ensureDeferred
async def test_long_answers_are_forgotten_before_they_fill_the_memory(
    dns_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.test" for number in range(8)]
    server = dns_server({(name, "TXT"): [" ".join(['"' + 200 * "x" + '"'] * 4)] for name in names})
    here = resolver(server)
    monkeypatch.setattr("postmeter.delivery.resolver.MAX_OCTETS", 4_000)  # three of them
    for name in (*names, *reversed(names)):
        assert len((await here.lookup(name, "TXT")).texts[0]) == 800
    assert [name for name, _, _ in server.questions] == [*names, *reversed(names[:-3])]
    assert here._octets == 3 * 1_300


@pytest_twisted.ensureDeferred
async def test_a_crowd_of_questions_opens_no_crowd_of_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: list[Deferred[None]] = []

    async def ask(*_: Any) -> None:
        under_way.append(Deferred())
        await under_way[-1]

    monkeypatch.setattr("postmeter.delivery.resolver.ask_udp", ask)
    here = Resolver(reactor, (Server("127.0.0.1"),))
    looked_up = [ensureDeferred(here.lookup(f"{n}.test", "TXT", Turn(n))) for n in range(3 * MAX_ASKED)]
    most = 0
    while under_way:
        most = max(most, len(under_way))
        under_way.pop(0).callback(None)
    assert most == MAX_ASKED
    assert [one.result for one in looked_up] == [Answer("failure")] * 3 * MAX_ASKED


def test_nobody_waits_behind_the_questions_of_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Deferred[None]]] = []

    async def ask(_reactor: Any, _address: str, _port: int, query: dns.message.Message) -> None:
        asked.append((query.question[0].name.to_text(), Deferred()))
        await asked[-1][1]

    monkeypatch.setattr("postmeter.delivery.resolver.ask_udp", ask)
    here = Resolver(reactor, (Server("127.0.0.1"),))
    pile = [ensureDeferred(here.lookup(f"{n}.silent.test", "MX", Turn(1))) for n in range(5 * MAX_ASKED)]
    assert len(asked) == MAX_ASKED / 2
    in_the_pile = ensureDeferred(here.lookup("4000.silent.test", "MX", Turn(2)))
    other = ensureDeferred(here.lookup("cold.test", "MX", Turn(3)))
    assert [name for name, _ in asked[MAX_ASKED // 2 :]] == ["4000.silent.test.", "cold.test."]
    while asked:
        asked.pop()[1].callback(None)
    assert all(one.result == Answer("failure") for one in (*pile, in_the_pile, other))


def test_a_question_is_asked_again_by_whom_its_answer_makes_ask_it() -> None:
    here, answers = Resolver(reactor, (Server("127.0.0.1"),)), list[Answer]()

    async def twice() -> None:
        for _ in range(2):  # a name that cannot be is not kept
            answers.append(await here.lookup("a..test", "MX", Turn(1)))

    ensureDeferred(twice())
    assert answers == [Answer("nxdomain")] * 2


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_no_address_and_a_defect_are_failures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await Resolver(reactor, (Server("nonsense"),)).lookup("example.org", "MX") == Answer("failure")
    assert caplog.text == ""
    monkeypatch.setattr("postmeter.delivery.resolver.ask_udp", lambda *_: 1 / 0)
    assert await Resolver(reactor, (Server("127.0.0.1"),)).lookup("example.org", "MX") == Answer("failure")
    assert "ZeroDivisionError" in caplog.text
