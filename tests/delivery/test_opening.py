"""Which host takes a session, and how TLS is used with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from postmeter.delivery.client_tls import OTHER_NAME, client_context
from postmeter.delivery.opening import BROKEN, BrokenTls
from postmeter.delivery.route import Host, Route
from support.delivering import NewPool, NewServer, limits, mail, route, told
from support.mail_server import Drop, Endless, certificate_options


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


def test_broken_tls_is_remembered_for_an_hour() -> None:
    clock, host = Clock(), Host("mx.test", "192.0.2.1", 25)
    broken = BrokenTls(clock)
    assert host not in broken
    broken.add(host)
    clock.advance(3600 - 1)
    assert host in broken
    clock.advance(1)
    assert host not in broken


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
async def test_a_link_lost_in_the_handshake_leads_to_the_next_host_and_not_to_clear_text(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    lost, good = (mail_server(starttls=kind) for kind in ("lost", "good"))
    lost.script["STARTTLS"] = Drop(b"220 2.0.0 Go ahead\r\n")
    pool = new_pool()
    delivery = await pool.deliver(route(lost, good), mail())
    assert delivery.outcomes[0].delivered
    assert delivery.facts.port == good.port
    assert delivery.facts.tls is not None
    assert not delivery.facts.in_clear
    assert not lost.started
    [outcome] = (await new_pool().deliver(route(lost), mail())).outcomes
    assert (outcome.stage, outcome.reply.code, outcome.reply.status) == ("starttls", 451, "4.4.2")
    assert not lost.started


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("starttls", ["bad", "inject", ""])
async def test_required_tls_never_falls_back(mail_server: NewServer, new_pool: NewPool, starttls: str) -> None:
    server = mail_server(starttls=starttls)
    [outcome] = (await new_pool().deliver(route(server, tls="required"), mail())).outcomes
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
