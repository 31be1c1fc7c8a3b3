"""What the timeline tells of attempts at real mail servers on loopback: every step, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted

from postmeter.delivery.attempt import Delivery, told, unrouted
from postmeter.delivery.opening import BROKEN
from postmeter.delivery.route import DNS_FAILURE, NoRoute
from support.delivering import CONTENT, NewPool, NewServer, limits, mail, route
from support.mail_server import Drop, Later

NOW = 1_800_000_000.0
FROM, TO = "MAIL FROM:<b+1@bounce.test>", "RCPT TO:<joe@example.org>"
BODY = f"({len(CONTENT) + len('X-First: 1..'):,} octets of content)"


def facts(delivery: Delivery, n: int = 0) -> dict[str, Any]:
    [outcome] = [outcome for outcome in delivery.outcomes if outcome.recipient == n]
    return told(delivery, outcome, NOW, "Google")


def said(delivery: Delivery, n: int = 0) -> list[str]:
    return [f"{who}: {text}" for _, who, text in facts(delivery, n)["dialogue"]]


def connect(*ports: int) -> list[str]:
    return [f"C: (connect to mx.test, address 127.0.0.1, port {port})" for port in ports]


@pytest_twisted.ensureDeferred
async def test_the_first_mail_of_a_session_has_all_from_the_connection_on(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server = mail_server(extensions=(), script={".": Later(0.1, b"250 2.0.0 Ok: queued\r\n")})
    delivery = await new_pool().deliver(route(server), mail())
    assert said(delivery) == [
        *connect(server.port),
        "S: 220 mx.test ESMTP",
        "C: EHLO relay.test",
        "S: 250 mx.test greets you",
        f"C: {FROM}",
        "S: 250 2.1.0 Ok",
        f"C: {TO}",
        "S: 250 2.1.5 Ok",
        "C: DATA",
        "S: 354 Go ahead",
        f"C: {BODY}",
        "S: 250 2.0.0 Ok: queued",
    ]
    told = facts(delivery)
    times = [at for at, _, _ in told["dialogue"]]
    assert times == sorted(times)
    assert 0.09 < times[-1] - times[-2] < 5
    assert told["seconds"] == pytest.approx(times[-1], abs=0.05)
    assert told["started_at"] == pytest.approx(NOW - told["seconds"], abs=0.002)
    assert (told["session"], told["local_address"], told["ehlo"]) == (1, "127.0.0.1", "relay.test")
    assert (told["remote"], told["address"], told["port"]) == ("mx.test", "127.0.0.1", server.port)
    assert (told["tls"], told["in_clear"], told["provider"]) == (None, "the server does not offer it", "Google")


@pytest_twisted.ensureDeferred
async def test_a_session_that_goes_on_does_not_begin_again(mail_server: NewServer, new_pool: NewPool) -> None:
    server, pool = mail_server(extensions=("PIPELINING",)), new_pool()
    await pool.deliver(route(server), mail())
    delivery = await pool.deliver(route(server), mail())
    assert facts(delivery)["session"] == 2
    assert said(delivery) == [
        *(f"C: {FROM}", f"C: {TO}", "C: DATA"),
        *("S: 250 2.1.0 Ok", "S: 250 2.1.5 Ok", "S: 354 Go ahead"),
        *(f"C: {BODY}", "S: 250 2.0.0 Ok: queued"),
    ]


@pytest_twisted.ensureDeferred
async def test_tls_is_told_with_its_cipher_and_what_is_wrong_with_the_certificate(
    mail_server: NewServer, new_pool: NewPool
) -> None:
    server = mail_server(starttls="good", extensions=())
    delivery = await new_pool().deliver(route(server), mail())
    assert said(delivery)[1:8] == [
        *("S: 220 mx.test ESMTP", "C: EHLO relay.test", "S: 250 mx.test greets you\nSTARTTLS"),
        *("C: STARTTLS", "S: 220 2.0.0 Go ahead"),
        *("C: EHLO relay.test", "S: 250 mx.test greets you"),
    ]
    told = facts(delivery)
    assert (told["tls"], told["certificate"]) == ("TLSv1.3", "it is self-signed")
    assert told["cipher"].startswith("TLS_")
    assert "in_clear" not in told


@pytest_twisted.ensureDeferred
async def test_the_way_past_dead_hosts_and_broken_tls_is_told(mail_server: NewServer, new_pool: NewPool) -> None:
    dead, broken = mail_server(), mail_server(starttls="bad", extensions=())
    await dead.stop()
    delivery = await new_pool().deliver(route(dead, broken), mail())
    steps = said(delivery)
    assert steps[0:3:2] == connect(dead.port, broken.port)
    assert steps[1].startswith("C: (No connection: ")
    assert steps[7] == "S: 220 2.0.0 Go ahead"
    assert steps[8].startswith("C: (TLS handshake failed: ")
    assert steps[9:11] == [*connect(broken.port), "S: 220 mx.test ESMTP"]
    assert steps[-1] == "S: 250 2.0.0 Ok: queued"
    assert (facts(delivery)["tls"], facts(delivery)["in_clear"]) == (None, BROKEN)


@pytest_twisted.ensureDeferred
async def test_without_a_session_the_steps_of_all_hosts_are_told(mail_server: NewServer, new_pool: NewPool) -> None:
    blocking, dead = mail_server(script={"banner": b"554 5.7.1 blocked\r\n"}), mail_server()
    await dead.stop()
    delivery = await new_pool().deliver(route(blocking, dead), mail())
    steps = said(delivery)
    assert steps[:3] == [*connect(blocking.port), "S: 554 5.7.1 blocked", *connect(dead.port)]
    assert steps[3].startswith("C: (No connection: ")
    told = facts(delivery)
    assert (told["port"], told["local_address"]) == (blocking.port, "127.0.0.1")
    assert "session" not in told


@pytest_twisted.ensureDeferred
async def test_what_decided_without_the_servers_word_comes_last(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(extensions=(), script={".": Drop()})
    lost = await new_pool().deliver(route(server), mail())
    assert said(lost)[-3:] == ["S: 354 Go ahead", f"C: {BODY}", "C: (Connection lost)"]
    odd = await new_pool().deliver(route(mail_server(extensions=(), script={"MAIL": b"354 what?\r\n"})), mail())
    assert said(odd)[-2:] == ["S: 354 what?", "C: (Protocol error: unexpected reply: 354 what?)"]


@pytest_twisted.ensureDeferred
async def test_each_recipient_has_its_own_dialogue(mail_server: NewServer, new_pool: NewPool) -> None:
    replies = [b"250 a\r\n", b"550 5.1.1 b\r\n", b"250 c\r\n"]
    delivery = await new_pool().deliver(
        route(mail_server(extensions=(), script={"RCPT": replies})), mail("a@x.org", "b@x.org", "c@x.org")
    )
    assert said(delivery, 1)[-4:] == [f"C: {FROM}", "S: 250 2.1.0 Ok", "C: RCPT TO:<b@x.org>", "S: 550 5.1.1 b"]
    assert said(delivery, 2)[-6:-3] == ["C: RCPT TO:<c@x.org>", "S: 250 c", "C: DATA"]
    assert "a@x.org" not in "".join(said(delivery, 2))


@pytest_twisted.ensureDeferred
async def test_the_waiting_for_a_session_counts(mail_server: NewServer, new_pool: NewPool) -> None:
    server = mail_server(script={".": lambda _session, _line: Later(0.1, b"250 ok\r\n")})
    pool = new_pool(limits=limits(first_sessions=1, most_sessions=1))
    _, second = pool.deliver(route(server), mail()), pool.deliver(route(server), mail())
    assert facts(await second)["dialogue"][0][0] > 0.09


def test_without_a_route_the_questions_to_the_dns_are_told() -> None:
    missing = NoRoute("dns", DNS_FAILURE, ("MX a.example: 10 mx.a.example.", "A mx.a.example: failure"))
    told = unrouted("a.example", missing, NOW, NOW + 2.5)
    assert told == {
        "started_at": NOW,
        "seconds": 2.5,
        "dialogue": [
            (0.0, "C", "(which mail servers does a.example have?)"),
            (2.5, "S", "(MX a.example: 10 mx.a.example.)"),
            (2.5, "S", "(A mx.a.example: failure)"),
        ],
    }
    assert json.loads(json.dumps(told))["seconds"] == 2.5


@pytest.mark.parametrize("extensions", [(), ("DSN",)])
@pytest_twisted.ensureDeferred
async def test_who_wants_to_hear_of_a_success_hears_of_it_from_whom_it_was_passed_on_to(
    mail_server: NewServer, new_pool: NewPool, extensions: tuple[str, ...]
) -> None:
    server = mail_server(extensions=extensions)
    delivery = await new_pool().deliver(route(server), mail())
    [outcome] = delivery.outcomes
    assert told(delivery, outcome, NOW, "Google", "FAILURE,SUCCESS")["dsn"] is bool(extensions)
    assert "dsn" not in told(delivery, outcome, NOW, "Google", "FAILURE")
