"""What shares a transaction, what is left over for the next one, and what is put off without an attempt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_twisted

from postmeter.delivery.attempt import Delivery, Facts, Talk, left_over
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.job import BUSY
from postmeter.delivery.route import Host, Route
from postmeter.message.handling import BULK
from postmeter.smtp.mail import Outcome, Stage
from postmeter.smtp.reply import Reply
from postmeter.store.providers import Suspension
from postmeter.store.tables import DEFERRED, DELIVERED, EXPIRED, QUEUED
from support.delivering import NewPool, NewServer, mail
from support.delivering import route as route_to
from support.mail_server import Session
from support.scheduling import DONE, LATER, NEVER, Bench, delivery, leased, route

TOO_MANY, BARE = Reply(452, "4.5.3", "Too many recipients"), Reply(452, "", "Too many recipients")
FULL = Reply(452, "4.2.2", "Mailbox full")
GMAIL = Route("gmail", (Host("gmail-smtp-in.l.google.com", "192.0.2.1", 25),))
STRANGER = Route("mx.example.org.", (Host("mx.example.org", "192.0.2.2", 25),))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.router.known = {"example.org": route("static")}
    return made


def outcomes(*told: tuple[Reply, Stage]) -> list[Outcome]:
    return [Outcome(n, reply, stage, reply.positive) for n, (reply, stage) in enumerate(told)]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([(DONE, "content"), (TOO_MANY, "rcpt")], [1]),
        ([(DONE, "content"), (BARE, "rcpt"), (FULL, "rcpt")], [1]),
        ([(NEVER, "rcpt"), (TOO_MANY, "rcpt")], [1]),
        ([(LATER, "data"), (TOO_MANY, "rcpt")], [1]),
        ([(TOO_MANY, "rcpt"), (TOO_MANY, "rcpt")], []),
        ([(LATER, "mail"), (TOO_MANY, "rcpt")], []),
        ([(DONE, "content"), (Reply(452, "4.3.1", "disk"), "content")], []),
        ([(DONE, "content")], []),
    ],
)
def test_who_is_left_over_for_another_transaction(told: list[tuple[Reply, Stage]], left: list[int]) -> None:
    assert [one.recipient for one in left_over(outcomes(*told))] == left


def test_routes_are_looked_for_in_the_turn_of_the_message(bench: Bench) -> None:
    bench.router.found = {"b.net": route("b"), "c.net": route("c")}
    bench.take(leased("joe@b.net", "joe@c.net", account=7, priority=BULK))
    assert bench.router.turns == [Turn(7, BULK)] * 2
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(DONE))
    assert len(bench.gather()) == 2


def test_those_who_were_too_many_are_sent_at_once_and_settled_once(bench: Bench) -> None:
    bench.take(leased(*(f"r{n}@example.org" for n in range(3))))
    first = Delivery(tuple(outcomes((DONE, "content"), (TOO_MANY, "rcpt"), (TOO_MANY, "rcpt"))), *parts())
    bench.pool.sent[0][2].callback(first)
    assert bench.pool.paths() == {
        "static": [["r0@example.org", "r1@example.org", "r2@example.org"], ["r1@example.org", "r2@example.org"]]
    }
    bench.pool.sent[1][2].callback(Delivery(tuple(outcomes((DONE, "content"), (TOO_MANY, "rcpt"))), *parts()))
    bench.pool.sent[2][2].callback(Delivery(tuple(outcomes((TOO_MANY, "rcpt"))), *parts()))
    assert bench.gather() == {("one", 0): DELIVERED, ("one", 1): DELIVERED, ("one", 2): DEFERRED}
    assert bench.empty


def parts() -> tuple[Facts, Talk]:
    one = delivery(DONE)
    return one.facts, one.talk


def test_a_hundred_recipients_at_most_share_a_transaction(bench: Bench) -> None:
    bench.take(leased(*(f"r{n}@example.org" for n in range(250))))
    assert [len(mail.envelope.recipients) for _, mail, _ in bench.pool.sent] == [100, 100, 50]
    for _, one, sent in bench.pool.sent:
        sent.callback(delivery(*[DONE] * len(one.envelope.recipients)))
    assert set(bench.gather().values()) == {DELIVERED}
    assert len(bench.writer.settled) == 250
    assert bench.empty


@pytest.mark.parametrize("attempts", [0, 2])
def test_what_the_pool_puts_off_comes_again_without_an_attempt(bench: Bench, attempts: int) -> None:
    bench.router.known = {"gmail.com": GMAIL}
    one = leased("joe@gmail.com")
    bench.take(replace(one, recipients=(replace(one.recipients[0], attempts=attempts),)))
    bench.pool.sent[0][2].callback(replace(delivery(BUSY, stage="connect"), put_off=90.0))
    assert bench.gather() == {("one", 0): DEFERRED if attempts else QUEUED}
    [waits] = bench.writer.settled
    assert (waits.attempted, waits.transmitted, waits.reply) == (False, False, str(BUSY))
    assert waits.next_attempt_at == 90.0
    assert waits.facts == ({} if attempts else {"provider": "Google"})
    assert bench.empty


def test_what_is_put_off_beyond_its_lifetime_expires(bench: Bench) -> None:
    bench.clock.advance(86_400.0)
    bench.take(leased("joe@example.org"))
    bench.pool.sent[0][2].callback(replace(delivery(BUSY, stage="connect"), put_off=90.0))
    assert bench.gather() == {("one", 0): EXPIRED}


def test_what_the_pool_puts_off_since_a_rule_fired_waits_for_the_suspension(bench: Bench) -> None:
    bench.router.known = {"gmail.com": GMAIL}
    bench.take(leased("joe@gmail.com"))
    bench.desk.suspensions.learn([Suspension("Google", "421 no", 0.0, 600.0, "reply rule", rule="x")])
    bench.pool.sent[0][2].callback(replace(delivery(BUSY, stage="connect"), put_off=1.0))
    bench.gather()
    [waits] = bench.writer.settled
    assert waits.reply == "451 4.3.2 Mail to Google is suspended: 421 no"
    assert 600.0 <= waits.next_attempt_at <= 900.0


@pytest.mark.parametrize("name", ["other", "mx.example.org"])
def test_a_stranger_is_suspended_by_the_name_of_its_mail_server_or_with_all_strangers(bench: Bench, name: str) -> None:
    bench.router.known = {"example.org": STRANGER}
    bench.desk.suspensions.learn([Suspension(name, "421 no", 0.0, None, "reply rule", rule="x")])
    bench.take(leased("joe@example.org"))
    assert bench.pool.sent == []
    assert bench.gather() == {("one", 0): QUEUED}
    assert bench.writer.settled[0].provider == "other"


def test_a_provider_that_is_only_slowed_down_is_sent_mail(bench: Bench) -> None:
    bench.router.known = {"gmail.com": GMAIL}
    bench.desk.suspensions.learn([Suspension("Google", "421 no", 0.0, None, "reply rule", 1, None, "x")])
    bench.take(leased("joe@gmail.com"))
    assert len(bench.pool.sent) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "extensions", [("PIPELINING", "LIMITS RCPTMAX=40 MAILMAX=2"), ("LIMITS RCPTMAX=40 MAILMAX=2",)]
)
async def test_a_servers_limits_hold_for_its_sessions(
    mail_server: NewServer, new_pool: NewPool, extensions: tuple[str, ...]
) -> None:
    most = 0

    def count(session: Session, line: bytes) -> bytes:
        nonlocal most
        most = max(most, len(session.mail.recipients) + 1 if session.mail else 0)
        return b"250 ok\r\n"

    server = mail_server(extensions=extensions, script={"RCPT": count})
    pool, where = new_pool(), route_to(server)
    paths = [f"r{n}@x.org" for n in range(100)]
    rounds = 0
    while paths:
        sent = await pool.deliver(where, mail(*paths))
        paths = [paths[one.recipient] for one in left_over(sent.outcomes)]
        rounds += 1
    assert (rounds, most) == (3, 40)
    assert [one.session for one in server.accepted] == [0, 0, 1]
