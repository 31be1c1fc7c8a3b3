"""Which of our addresses a mail leaves from."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from postmeter.config import Settings
from postmeter.delivery import source as source_module
from postmeter.delivery.attempt import Delivery, Facts, Talk
from postmeter.delivery.route import Host, Route
from postmeter.delivery.source import Choice, PoolNames, Sources
from postmeter.delivery.warm_up import PATIENCE, WarmUp
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Reply
from postmeter.source import PROBATION, TRANSACTIONAL, Source, is_here
from postmeter.store.accounts import account_by_name
from postmeter.store.connections import add_connection, connection_by_name
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.pools import set_pool
from postmeter.store.quota import book_block
from postmeter.store.tables import DELIVERED, QUEUED
from postmeter.store.terms import set_terms
from postmeter.store.warm_up import WARM, Level, Warmth
from support.scheduling import DONE, Bench, delivery, leased
from support.tenants import NOW, SECRETS, make_account, make_domain

A, B, C = (
    Source("a.example", "192.0.2.1", "2001:db8::1"),
    Source("b.example", "192.0.2.2"),
    Source("c.example", "", "::2"),
)
FOUR, SIX = Host("mx.google.com", "198.51.100.1", 25), Host("mx.google.com", "2001:db8:1::1", 25)
MESSAGES = [f"message-{n}" for n in range(400)]
GOOGLE = Route("google", (FOUR,))


def sources(*here: Source, warm_up: WarmUp | None = None, **more: tuple[Source, ...]) -> Sources:
    return Sources({TRANSACTIONAL: here, **more}, warm_up, lambda _: True)


def spread(made: Sources, *hosts: Host, pool: str = TRANSACTIONAL, provider: str = "Google") -> Counter[Any]:
    """How often each source and address is chosen."""
    found = [made.choose(pool, message, provider, hosts) for message in MESSAGES]
    return Counter((one.source.name, one.address) if one else None for one in found)


def test_mail_is_spread_over_a_pool_and_a_message_keeps_its_source() -> None:
    made = sources(A, B)
    found = spread(made, FOUR)
    assert set(found) == {("a.example", "192.0.2.1"), ("b.example", "192.0.2.2")}
    assert min(found.values()) > 150
    again = {made.choose(TRANSACTIONAL, "message-1", "Google", (FOUR,)) for _ in range(20)}
    assert len(again) == 1


def test_servers_are_spoken_to_from_their_own_family() -> None:
    made = sources(A, B, C)
    assert set(spread(made, SIX)) == {("a.example", "2001:db8::1"), ("c.example", "::2")}
    assert set(spread(made, SIX, FOUR)) == {
        ("a.example", "2001:db8::1"),
        ("b.example", "192.0.2.2"),
        ("c.example", "::2"),
    }
    assert set(spread(sources(B), SIX)) == {None}  # the system has an address, or else the attempt fails


def test_without_sources_of_its_own_a_pool_is_the_default() -> None:
    made = sources(A, bulk=(B,))
    assert set(spread(made, FOUR, pool="bulk")) == {("b.example", "192.0.2.2")}
    for pool, host in (("gone", FOUR), ("bulk", SIX), (PROBATION, FOUR)):
        assert set(spread(made, host, pool=pool)) == {("a.example", A.towards(host.address))}
    assert set(spread(Sources({"bulk": (B,)}, None, lambda _: True), FOUR)) == {None}


def test_an_address_that_is_not_here_is_left_out_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    here = {"192.0.2.1": True, "192.0.2.2": False, "2001:db8::1": False}
    made = Sources({TRANSACTIONAL: (A, B)}, None, here.__getitem__)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "this machine has no address 192.0.2.2 (pool transactional)" in caplog.text
    assert set(spread(made, SIX, FOUR)) == {("a.example", "192.0.2.1")}
    made.look()
    assert len(caplog.records) == 2
    here["192.0.2.2"], here["192.0.2.1"] = True, False
    made.look()
    assert set(spread(made, SIX, FOUR)) == {("b.example", "192.0.2.2")}
    assert "has the address 192.0.2.2 (pool transactional) again" in caplog.text
    here["192.0.2.2"] = False
    made.look()
    assert set(spread(made, SIX, FOUR)) == {None}


def test_this_machine_knows_its_addresses() -> None:
    assert [is_here(one) for one in ("127.0.0.1", "127.0.0.7", "::1", "192.0.2.1", "2001:db8::1")] == [True] * 3 + [
        False
    ] * 2


# Warm-up


def warming(clock: Clock, **days: int) -> WarmUp:
    """The warm-up of a and b: so many days of use of each at Google."""
    levels = {({"a": "192.0.2.1", "b": "192.0.2.2"}[name], "Google"): Level(n) for name, n in days.items()}
    known = Warmth(0, levels, frozenset())
    return WarmUp(lambda _: succeed(known), clock.seconds, ("192.0.2.1", "192.0.2.2"), known)


def test_a_cold_address_takes_its_share_and_the_rest_leaves_from_warm_ones() -> None:
    warm_up = warming(Clock(), b=WARM)
    made = sources(A, B, warm_up=warm_up)
    chosen = Counter()
    for message in MESSAGES:
        choice = made.choose(TRANSACTIONAL, message, "Google", (FOUR,))
        assert choice is not None
        assert not choice.over
        made.follow(Deferred(), choice, "Google", 1)
        chosen[choice.source.name] += 1
    assert chosen == {"a.example": 50, "b.example": 350}


def test_when_all_are_full_the_least_used_is_over_its_cap() -> None:
    warm_up = warming(Clock(), b=1)
    made = sources(A, B, warm_up=warm_up)
    warm_up.begin("192.0.2.1", "Google", 75)
    warm_up.begin("192.0.2.2", "Google", 110)
    assert made.choose(TRANSACTIONAL, "x", "Google", (FOUR,)) == Choice(B, "192.0.2.2", over=True)
    warm_up.begin("192.0.2.2", "Google", 50)
    assert made.choose(TRANSACTIONAL, "x", "Google", (FOUR,)) == Choice(A, "192.0.2.1", over=True)
    assert spread(made, FOUR, provider="Yahoo")  # has seen neither of them
    assert {choice.over for m in MESSAGES if (choice := made.choose(TRANSACTIONAL, m, "", (FOUR,)))} == {False}


def test_the_recipients_of_a_message_leave_together_from_where_all_of_them_have_room() -> None:
    warm_up = warming(Clock(), b=1)
    made = sources(A, B, warm_up=warm_up)
    warm_up.begin("192.0.2.1", "Google", 49)
    warm_up.begin("192.0.2.2", "Google", 1)

    def chosen(recipients: int) -> set[tuple[str, bool] | None]:
        found = (made.choose(TRANSACTIONAL, message, "Google", (FOUR,), recipients) for message in MESSAGES)
        return {(one.source.name, one.over) if one else None for one in found}

    assert chosen(1) == {("a.example", False), ("b.example", False)}
    assert chosen(2) == chosen(99) == {("b.example", False)}
    assert chosen(100) == {("b.example", True)}


def test_more_recipients_than_any_cap_has_room_for_leave_from_an_address_that_was_not_used_today() -> None:
    warm_up = warming(Clock())
    made = sources(A, B, warm_up=warm_up)
    warm_up.begin("192.0.2.1", "Google", 1)
    assert made.choose(TRANSACTIONAL, "x", "Google", (FOUR,), 100) == Choice(B, "192.0.2.2")
    warm_up.begin("192.0.2.2", "Google", 100)
    assert made.choose(TRANSACTIONAL, "x", "Google", (FOUR,), 100) == Choice(A, "192.0.2.1", over=True)


def test_a_message_of_many_recipients_does_not_pass_the_cap() -> None:
    def nearly_full(clock: Clock) -> Sources:
        warm_up = warming(clock)
        warm_up.begin("192.0.2.1", "Google", 49)
        return sources(A, warm_up=warm_up)

    bench = Bench(sources=nearly_full)
    bench.router.found["example.org"] = GOOGLE
    bench.take(leased("joe@example.org", "ann@example.org"))
    assert set(bench.gather().values()) == {QUEUED}
    bench.take(leased("joe@example.org", message_id="two"))
    assert bench.pool.sources == [A]
    bench.pool.sent[0][2].callback(delivery(DONE))
    bench.gather()


def test_a_message_leaves_from_its_source_and_counts_there_until_a_server_has_not_seen_it() -> None:
    bench = Bench(sources=lambda clock: sources(A, warm_up=warming(clock)))
    bench.router.found["example.org"] = GOOGLE
    bench.take(leased("joe@example.org", "ann@example.org"))
    bench.take(leased("joe@example.org", message_id="two"))
    assert bench.pool.sources == [A, A]
    bench.pool.sent[1][2].callback(delivery(DONE))
    assert bench.gather() == {("two", 0): DELIVERED}


def test_recipients_that_a_server_leaves_over_count_once() -> None:
    warm_up = warming(Clock())
    made, sent = sources(A, warm_up=warm_up), Deferred[Delivery]()
    choice = made.choose(TRANSACTIONAL, "x", "Google", (FOUR,))
    assert choice is not None
    made.follow(sent, choice, "Google", 3)
    outcomes = Outcome(0, DONE, "content", True), *(Outcome(n, Reply(452, "4.5.3", "many"), "rcpt") for n in (1, 2))
    sent.callback(Delivery(outcomes, Facts("mx", "198.51.100.1", 25, local="192.0.2.1"), Talk(0.0, 0.0)))
    assert warm_up.use("192.0.2.1", "Google") == 1 / 50


def test_mail_beyond_all_caps_waits_once_and_leaves_anyway() -> None:
    warm_up: list[WarmUp] = []

    def full(clock: Clock) -> Sources:
        warm_up.append(warming(clock))
        warm_up[0].begin("192.0.2.1", "Google", 50)
        return sources(A, warm_up=warm_up[0])

    bench = Bench(sources=full)
    bench.router.found["example.org"] = GOOGLE
    bench.take(leased("joe@example.org"))
    bench.gather()
    [waits] = bench.writer.settled
    assert (bench.pool.sent, waits.state, waits.attempted, waits.provider) == ([], QUEUED, False, "Google")
    assert waits.next_attempt_at == PATIENCE * 0.75
    assert "has sent Google enough" in waits.reply
    assert bench.empty
    bench.clock.advance(waits.next_attempt_at)
    bench.take(leased("joe@example.org"))
    assert bench.pool.sources == [A]
    bench.pool.sent[0][2].callback(delivery(DONE))
    bench.gather()
    assert bench.writer.settled[-1].state == DELIVERED


def test_an_own_next_hop_is_under_no_cap() -> None:
    bench = Bench(sources=lambda clock: sources(A, warm_up=warming(clock)))
    bench.router.known["example.org"] = Route("hop", (FOUR,), static=True)
    for n in range(60):
        bench.take(leased("joe@example.org", message_id=str(n)))
    assert bench.pool.sources == [A] * 60


# Whose mail leaves from which pool


@pytest.fixture
def store(sqlite_url: str) -> Any:
    """A store with the connection shop of the account acme."""
    opened = Store.open(sqlite_url)
    with opened.write() as session:
        acme = make_account(session)
        make_domain(session, acme)
        add_connection(session, SECRETS, acme, "shop", ["shop.example"], NOW)
    yield opened
    opened.close()


def test_the_pool_is_the_connections_or_the_accounts_or_goes_by_what_was_paid(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(source_module.time, "monotonic", lambda: now)
    names = PoolNames(store, {TRANSACTIONAL, PROBATION, "bulk"})
    assert PoolNames(store, {TRANSACTIONAL}).of(1, 1) == TRANSACTIONAL
    assert (names.of(1, 1), names.of(OPERATOR, OPERATOR)) == (PROBATION, TRANSACTIONAL)
    with store.write() as session:
        book_block(session, 1, 25_000, Settings().block, NOW)
    assert names.of(1, 1) == PROBATION
    now = 5.0
    assert names.of(1, 1) == TRANSACTIONAL
    for pool, expected in (("bulk", "bulk"), ("gone", TRANSACTIONAL)):
        with store.write() as session:
            set_terms(session, 1, NOW, pool=pool)
        now += 5.0
        assert names.of(1, 1) == expected
    now += 5.0
    assert names.of(1, 1) == TRANSACTIONAL
    assert caplog.text.count("there is no pool gone in delivery.pools any more") == 1


def test_the_connections_pool_counts_first(store: Store) -> None:
    with store.write() as session:
        set_terms(session, 1, NOW, pool="bulk")
        set_pool(session, connection_by_name(session, account_by_name(session, "acme"), "shop"), PROBATION)
    assert PoolNames(store, {TRANSACTIONAL, PROBATION, "bulk"}).of(1, 1) == PROBATION
