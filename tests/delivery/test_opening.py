"""Which host takes a session, and how TLS is used with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from postmeter.delivery.client_tls import client_context
from postmeter.delivery.opening import BROKEN, LOST_TLS_LIFE, BrokenTls
from postmeter.delivery.route import Host, Route
from postmeter.delivery.sender import PATIENCE
from postmeter.delivery.tls_policy import OTHER_NAME, REQUIRED, Flaw
from postmeter.source import Source
from postmeter.store.tls_memory import Broken
from support.delivering import NewPool, NewServer, limits, mail, pause, route, told
from support.mail_server import Drop, Endless, MailServer, certificate_options


@pytest_twisted.ensureDeferred
async def test_the_next_host_is_tried_when_one_takes_no_session(mail_server: NewServer, new_pool: NewPool) -> None:
    dead, blocking, rude, good = mail_server(), mail_server(), mail_server(), mail_server()
    await dead.stop()
    blocking.script["banner"] = b"554 5.7.1 blocked\r\n"
    rude.script["EHLO"] = Drop()
    delivery = await new_pool().deliver(route(dead, blocking, rude, good), mail())
    assert delivery.outcomes[0].delivered
    assert delivery.facts.port == good.port
    assert not blocking.commands


@pytest_twisted.ensureDeferred
async def test_a_dead_destination_fails_all_that_waits_with_the_first_hosts_reason(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    blocking, dead = mail_server(script={"banner": b"554 5.7.1 IP blocked (BL)\r\n"}), mail_server()
    await dead.stop()
    pool = new_pool()
    deliveries = await gatherResults([pool.deliver(route(blocking, dead), mail("a@x", "b@x")) for _ in range(30)])
    assert {tuple(told(delivery)) for delivery in deliveries} == {((554, "banner", False, False),) * 2}
    assert len(blocking.sessions) <= 4
    deliveries = await gatherResults([pool.deliver(Route("dead.", route(dead).hosts), mail()) for _ in range(3)])
    assert {tuple(told(delivery)) for delivery in deliveries} == {((451, "connect", False, False),)}


@pytest_twisted.ensureDeferred
async def test_tls_is_used_where_it_is_offered_and_recorded(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(starttls="good")
    delivery = await new_pool().deliver(route(server), mail())
    assert delivery.outcomes[0].delivered
    assert server.accepted[0].tls
    assert delivery.facts.tls is not None
    assert delivery.facts.tls.version == "TLSv1.3"
    assert delivery.facts.tls.problem == "it is self-signed"
    assert delivery.facts.hello == "mx.test"


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_a_known_authority_for_the_right_name_is_verified(
    mail_server: NewServer, new_pool: NewPool, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(certificate_options().certificate.to_cryptography().public_bytes(Encoding.PEM))
    context = client_context()
    context.load_verify_locations(str(tmp_path / "ca.pem"))
    server, pool = mail_server(starttls="good"), new_pool(context=context)
    for name, problem in (("mx.test", ""), ("other.test", OTHER_NAME)):
        there = Route(name, (Host(name, "127.0.0.1", server.port),))
        facts = (await pool.deliver(there, mail())).facts
        assert facts.tls is not None
        assert facts.tls.problem == problem


def test_broken_tls_is_remembered_for_three_days_and_beyond_a_restart() -> None:
    clock, host, kept = Clock(), Host("mx.test", "192.0.2.1", 25), list[Broken]()
    broken = BrokenTls(clock.seconds, keep=kept.append)
    assert host not in broken
    broken.add(host)
    broken.add_lost(host)  # which is remembered for less
    clock.advance(3 * 86_400 - 1)
    assert host in broken
    assert host in BrokenTls(clock.seconds, kept)
    clock.advance(1)
    assert host not in broken
    assert host not in BrokenTls(clock.seconds, kept)


def test_who_gives_a_server_a_name_it_does_not_know_makes_it_look_broken_by_that_name_only() -> None:
    broken = BrokenTls(Clock().seconds)
    broken.add(Host("mx.evil.test", "192.0.2.1", 25))
    assert Host("mx.evil.test", "192.0.2.1", 25) in broken
    assert Host("mx.good.test", "192.0.2.1", 25) not in broken


def test_the_oldest_are_forgotten_first_also_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postmeter.delivery.opening.MAX_BROKEN", 2)
    clock, hosts = Clock(), [Host(f"mx{n}.test", "192.0.2.1", 25) for n in range(3)]
    broken = BrokenTls(
        clock.seconds, [Broken("mx0.test", "192.0.2.1", 25, 10.0), Broken("mx1.test", "192.0.2.1", 25, 20.0)]
    )
    broken.add(hosts[0])
    broken.add(hosts[2])
    assert [host in broken for host in hosts] == [True, False, True]


@pytest_twisted.ensureDeferred
async def test_a_broken_handshake_is_followed_by_clear_text_and_remembered(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server, pool = mail_server(starttls="bad"), new_pool(limits=limits(mails_per_session=1))
    for _ in range(2):
        delivery = await pool.deliver(route(server), mail())
        assert delivery.outcomes[0].delivered
        assert (delivery.facts.tls, delivery.facts.in_clear) == (None, BROKEN)
    assert server.commands.count(b"STARTTLS") == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("starttls", ["lost", "silent"])
async def test_a_link_lost_in_the_handshake_is_followed_by_clear_text_at_the_same_host_and_remembered_for_a_while(
    mail_server: NewServer, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch, starttls: str
) -> None:
    monkeypatch.setitem(PATIENCE, "starttls", 0.3)
    clock, kept, flaws = Clock(), list[Broken](), list[Flaw | None]()
    broken = BrokenTls(clock.seconds, keep=kept.append)
    server, other = mail_server(starttls=starttls), mail_server(starttls="good")
    pool = new_pool(
        limits=limits(mails_per_session=1), broken_tls=broken, note_tls=lambda route, host, flaw, _: flaws.append(flaw)
    )
    for after, handshakes in ((0.0, 1), (LOST_TLS_LIFE - 1, 1), (1.0, 2)):
        clock.advance(after)
        delivery = await pool.deliver(route(server, other), mail())
        assert delivery.outcomes[0].delivered
        assert (delivery.facts.port, delivery.facts.tls, delivery.facts.in_clear) == (server.port, None, BROKEN)
        assert server.commands.count(b"STARTTLS") == handshakes
    assert flaws == [Flaw("validation-failure", BROKEN)] * 3
    assert kept == []


@pytest_twisted.ensureDeferred
async def test_a_host_that_is_lost_in_clear_as_well_is_not_remembered_and_the_next_one_is_tried(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    lost, good, broken = mail_server(starttls="lost"), mail_server(starttls="good"), BrokenTls(Clock().seconds)
    lost.script["EHLO"] = [b"250-mx.test\r\n250 STARTTLS\r\n", Drop()]
    delivery = await new_pool(broken_tls=broken).deliver(route(lost, good), mail())
    assert delivery.outcomes[0].delivered
    assert delivery.facts.port == good.port
    assert delivery.facts.tls is not None
    assert not delivery.facts.in_clear
    assert len(lost.sessions) == 2
    assert route(lost).hosts[0] not in broken


@pytest_twisted.ensureDeferred
async def test_a_pool_that_is_cut_in_a_handshake_does_not_go_on_in_clear(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server, pool = mail_server(starttls="silent"), new_pool()
    sending = pool.deliver(route(server), mail())
    while b"STARTTLS" not in server.commands:
        await pause(0.01)
    pool.abort()
    assert told(await sending)[0][1:] == ("starttls", False, False)
    assert len(server.sessions) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("starttls", ["bad", "lost", "inject", ""])
async def test_required_tls_never_falls_back(mail_server: NewServer, new_pool: NewPool, starttls: str) -> None:
    server = mail_server(starttls=starttls)
    [outcome] = (await new_pool().deliver(route(server, tls=REQUIRED), mail())).outcomes
    assert (outcome.stage, outcome.permanent, outcome.reply.transient) == ("starttls", False, True)
    assert not server.started


@pytest_twisted.ensureDeferred
async def test_injected_octets_lose_the_session_and_nothing_is_sent_in_clear(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server = mail_server(starttls="inject")
    assert told(await new_pool().deliver(route(server), mail())) == [(451, "starttls", False, False)]
    assert not server.started
    assert len(server.sessions) == 1


@pytest_twisted.ensureDeferred
async def test_a_banner_without_end_is_left(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={"banner": Endless(b"220-" + b"x" * 5000 + b"\r\n")})
    assert told(await new_pool().deliver(route(server), mail())) == [(451, "banner", False, False)]


# What a session leaves from

OURS = Source("out.test", "127.0.0.2", "::1")


def where(*hosts: tuple[str, MailServer]) -> Route:
    key = ",".join(address for address, _ in hosts)
    return Route(key, tuple(Host("mx.test", address, server.port) for address, server in hosts))


@pytest_twisted.ensureDeferred
async def test_a_session_leaves_from_its_source_under_its_name(mail_server: NewServer, new_pool: NewPool) -> None:
    server, six, pool = mail_server(), mail_server("::1"), new_pool()
    for host, local in ((("127.0.0.1", server), "127.0.0.2"), (("::1", six), "::1")):
        delivery = await pool.deliver(where(host), mail(), source=OURS)
        assert (delivery.facts.local, delivery.facts.ehlo) == (local, "out.test")
        assert host[1].sessions[0].transport.getPeer().host == local
        assert f"(connect from {local} to mx.test" in str(delivery.talk.opening[0].what)
    assert server.commands[0] == six.commands[0] == b"EHLO out.test"


@pytest_twisted.ensureDeferred
async def test_sources_share_no_session(mail_server: NewServer, new_pool: NewPool) -> None:
    server, pool = mail_server(), new_pool()
    other = Source("other.test", "127.0.0.3")
    for source, local, name in ((OURS, "127.0.0.2", "out.test"), (None, "127.0.0.1", "relay.test")) * 2:
        facts = (await pool.deliver(route(server), mail(), source=source)).facts
        assert (facts.local, facts.ehlo) == (local, name)
    await pool.deliver(route(server), mail(), source=other)
    assert [one.transport.getPeer().host for one in server.sessions] == ["127.0.0.2", "127.0.0.1", "127.0.0.3"]


@pytest_twisted.ensureDeferred
async def test_hosts_of_a_family_that_a_source_lacks_are_left_out_unless_there_are_no_others(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    four, six, pool = mail_server(), mail_server("::1"), new_pool()
    source = Source("four.test", "127.0.0.2")
    facts = (await pool.deliver(where(("::1", six), ("127.0.0.1", four)), mail(), source=source)).facts
    assert (facts.local, facts.ehlo, six.sessions) == ("127.0.0.2", "four.test", [])
    facts = (await pool.deliver(where(("::1", six)), mail(), source=source)).facts
    assert (facts.local, facts.ehlo) == ("::1", "relay.test")


@pytest_twisted.ensureDeferred
async def test_both_families_are_tried(mail_server: NewServer, new_pool: NewPool) -> None:
    dead, four = mail_server("::1"), mail_server()
    await dead.stop()
    facts = (await new_pool().deliver(where(("::1", dead), ("127.0.0.1", four)), mail(), source=OURS)).facts
    assert facts.local == "127.0.0.2"


@pytest_twisted.ensureDeferred
async def test_an_address_that_this_machine_has_lost_is_no_fault_of_the_mail(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server = mail_server()
    delivery = await new_pool().deliver(route(server), mail(), source=Source("gone.test", "192.0.2.1"))
    assert told(delivery) == [(451, "connect", False, False)]
    assert (delivery.facts.local, server.sessions) == ("", [])


@pytest_twisted.ensureDeferred
async def test_a_pool_that_is_cut_meanwhile_gives_the_mail_back(mail_server: NewServer, new_pool: NewPool) -> None:
    pool = new_pool()
    sending = pool.deliver(route(mail_server()), mail(), source=Source("gone.test", "192.0.2.1"))
    pool.abort()
    assert told(await sending) == [(451, "connect", False, False)]
