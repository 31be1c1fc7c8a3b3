"""The way of a message through delivery: each recipient gets one outcome, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from postmeter.delivery.gathering import PATIENCE
from postmeter.delivery.pool import STOPPING
from postmeter.delivery.route import DNS_FAILURE, NO_DOMAIN, NO_DOMAIN_YET, NULL_MX, NoRoute, Route
from postmeter.delivery.settling import AGAIN
from postmeter.delivery.signing import NoKey, Signed
from postmeter.store.picking import Load
from support.scheduling import CONTENT, DONE, LATER, NEVER, SIGNED, Bench, delivery, leased, route


@pytest.fixture
def bench() -> Bench:
    """A scheduler that knows the static route to example.org."""
    made = Bench()
    made.router.known = {"example.org": route("static")}
    return made


def load(size: int = 1) -> Load:
    """What new mail of the usual account takes up."""
    return Load.of(leased(size=size))


def test_a_message_is_signed_sent_settled_and_forgotten(bench: Bench) -> None:
    bench.take(leased("joe@example.org"))
    [order] = bench.signer.orders
    assert (order.content, order.added) == (CONTENT, b"")
    [(where, mail, sent)] = bench.pool.sent
    assert (where.key, mail.content, mail.envelope.reverse_path) == ("static", SIGNED.chunks, "a@shop.example")
    assert bench.gather() == {}
    assert not bench.empty
    sent.callback(delivery(DONE))
    assert bench.gather() == {("one", 0): "delivered"}
    facts = bench.writer.settled[0].facts
    assert (facts["stage"], facts["remote"], facts["address"], facts["port"]) == ("content", "mx.test", "192.0.2.1", 25)
    assert bench.empty


def test_recipients_are_grouped_by_their_mail_servers(bench: Bench) -> None:
    bench.router.found = {"a.net": route("mx"), "b.net": route("mx"), "c.net": route("other")}
    bench.take(leased("1@a.net", "2@example.org", "3@b.net", "4@c.net", "5@example.org"))
    assert bench.pool.paths() == {
        "static": [["2@example.org", "5@example.org"]],
        "mx": [["1@a.net", "3@b.net"]],
        "other": [["4@c.net"]],
    }
    results = {"static": (DONE, NEVER), "mx": (LATER, DONE), "other": (DONE,)}
    for where, _, sent in bench.pool.sent:
        sent.callback(delivery(*results[where.key]))
    assert bench.gather() == {
        ("one", 0): "deferred",
        ("one", 1): "delivered",
        ("one", 2): "delivered",
        ("one", 3): "delivered",
        ("one", 4): "bounced",
    }
    assert bench.empty


@pytest.mark.parametrize(
    ("found", "state", "facts"),
    [
        (NoRoute("null-mx", NULL_MX), "bounced", {"stage": "route"}),
        (NoRoute("dns", DNS_FAILURE), "deferred", {"stage": "route"}),
        (NoRoute("no-domain", NO_DOMAIN_YET), "deferred", {"stage": "route", "unknown_since": 5.0}),
        (NoRoute("no-domain", NO_DOMAIN), "bounced", {"stage": "route", "unknown_since": 5.0}),
    ],
)
def test_without_a_route_the_reply_says_whether_for_good(
    bench: Bench, found: NoRoute, state: str, facts: dict[str, Any]
) -> None:
    bench.clock.advance(5)
    bench.router.found = {"a.net": found}
    bench.take(leased("joe@a.net"))
    assert bench.gather() == {("one", 0): state}
    assert facts.items() <= bench.writer.settled[0].facts.items()
    assert bench.writer.settled[0].facts["dialogue"][0] == (0.0, "C", "(which mail servers does a.net have?)")
    assert bench.writer.settled[0].charge == ("released" if state == "bounced" else "reserved")
    assert bench.empty


def test_one_slow_look_up_does_not_make_the_others_wait_for_theirs(bench: Bench) -> None:
    slow: Deferred[Route | NoRoute] = Deferred()
    bench.router.found = {"slow.net": slow, "b.net": route("mx")}
    bench.take(leased("1@slow.net", "2@b.net", "3@example.org"))
    assert [domain for domain, _ in bench.router.asked] == ["slow.net", "b.net"]
    assert bench.pool.paths() == {"static": [["3@example.org"]]}
    bench.clock.advance(PATIENCE / 2)
    slow.callback(route("mx"))
    assert bench.pool.paths()["mx"] == [["2@b.net", "1@slow.net"]]


def test_who_has_a_route_leaves_soon_whatever_the_dns_of_the_others_does(bench: Bench) -> None:
    silent: dict[str, Deferred[Route | NoRoute]] = {f"slow{n}.net": Deferred() for n in range(4)}
    bench.router.found = {**silent, **{f"good{n}.net": route("mx") for n in range(96)}}
    bench.take(
        leased("0@slow0.net", *(f"{n}@good{n}.net" for n in range(96)), *(f"{n}@slow{n}.net" for n in (1, 2, 3)))
    )
    assert bench.pool.sent == []
    bench.clock.advance(PATIENCE)
    assert [len(mail.envelope.recipients) for _, mail, _ in bench.pool.sent] == [96]
    for n in (0, 1):  # the rest follows as it is found, and waits for its like again
        silent[f"slow{n}.net"].callback(route("mx"))
    bench.clock.advance(PATIENCE)
    assert bench.pool.paths()["mx"][1:] == [["0@slow0.net", "1@slow1.net"]]
    silent["slow2.net"].callback(NoRoute("dns", DNS_FAILURE))
    silent["slow3.net"].callback(route("mx"))
    assert bench.pool.paths()["mx"][2:] == [["3@slow3.net"]]
    for _, mail, sent in bench.pool.sent:
        sent.callback(delivery(*[DONE] * len(mail.envelope.recipients)))
    assert Counter(bench.gather().values()) == {"delivered": 99, "deferred": 1}
    assert len(bench.writer.settled) == 100
    assert bench.empty


def test_who_gathered_while_the_leases_were_in_doubt_is_sent_or_given_back(bench: Bench) -> None:
    silent: Deferred[Route | NoRoute] = Deferred()
    bench.router.found = {"slow.net": silent, "good.net": route("mx")}
    for name in ("one", "two"):
        bench.take(leased("0@slow.net", "1@good.net", message_id=name))
        bench.lease_held = False
        bench.clock.advance(PATIENCE)
        assert bench.pool.sent == []
    bench.lease_held = True
    bench.scheduler.resume()
    assert bench.pool.paths() == {"mx": [["1@good.net"], ["1@good.net"]]}
    bench.lease_held = False
    silent.callback(route("mx"))
    bench.scheduler.stop()
    assert len(bench.pool.sent) == 2
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(DONE))
    assert bench.gather() == {("one", 1): "delivered", ("two", 1): "delivered"}
    assert bench.empty


def test_a_defect_in_routing_defers_and_touches_nobody_who_is_on_the_way(bench: Bench) -> None:
    bench.router.found = {"a.net": RuntimeError("a defect"), "b.net": route("mx")}
    bench.take(leased("1@a.net", "2@b.net", "3@example.org"))
    assert bench.gather() == {("one", 0): "deferred"}
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(DONE))
    assert bench.gather() == {("one", 0): "deferred", ("one", 1): "delivered", ("one", 2): "delivered"}
    assert bench.empty


def test_a_pool_that_fails_for_one_route_leaves_the_others_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.router.known["b.net"] = route("broken")
    deliver = bench.pool.deliver

    def sometimes(where: Route, *args: Any, **settings: Any) -> Any:
        if where.key == "broken":
            raise RuntimeError("a defect")
        return deliver(where, *args, **settings)

    monkeypatch.setattr(bench.pool, "deliver", sometimes)
    bench.take(leased("1@example.org", "2@b.net"))
    assert bench.gather() == {("one", 1): "deferred"}
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert bench.gather() == {("one", 1): "deferred", ("one", 0): "delivered"}
    assert bench.empty


def test_an_envelope_that_cannot_be_sent_is_deferred(bench: Bench) -> None:
    bench.take(leased("joe@example.org"))
    bench.pool.sent[0][2].errback(ValueError("control character in an envelope"))
    assert bench.gather() == {("one", 0): "deferred"}
    assert (bench.writer.settled[0].transmitted, bench.empty) == (False, True)


def test_a_defect_half_way_through_the_outcomes_settles_each_recipient_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, calls = bench.scheduler._judge.settlement, []

    def broken_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("a defect")
        return judge(*arguments)

    monkeypatch.setattr(bench.scheduler._judge, "settlement", broken_once)
    bench.take(leased("1@example.org", "2@example.org", "3@example.org"))
    bench.pool.sent[0][2].callback(delivery(DONE, DONE, DONE))
    assert bench.gather() == {("one", 0): "delivered", ("one", 1): "deferred", ("one", 2): "deferred"}
    assert len(bench.writer.settled) == 3
    assert bench.empty


def test_two_leases_of_one_message_do_not_mix(bench: Bench) -> None:
    bench.take(leased("0@example.org", "1@example.org"))
    bench.take(leased("2@example.org", first=2))
    bench.pool.sent[1][2].callback(delivery(LATER))
    assert bench.gather() == {("one", 2): "deferred"}
    bench.take(leased("2@example.org", first=2))
    bench.pool.sent[0][2].callback(delivery(DONE, NEVER))
    assert bench.gather() == {("one", 0): "delivered", ("one", 1): "bounced", ("one", 2): "deferred"}
    bench.pool.sent[2][2].callback(delivery(DONE))
    assert bench.gather()["one", 2] == "delivered"
    assert bench.empty


def test_a_missing_key_defers_and_nothing_is_sent_unsigned(bench: Bench) -> None:
    bench.signer.answer = NoKey("There is no signing key for shop.example")
    bench.take(leased("1@example.org", "2@a.net"))
    assert bench.pool.sent == []
    assert bench.gather() == {("one", 0): "deferred", ("one", 1): "deferred"}
    [first, _] = bench.writer.settled
    assert first.reply == "451 4.7.5 There is no signing key for shop.example"
    assert (first.charge, bench.empty) == ("reserved", True)


def test_an_outcome_that_cannot_be_committed_is_kept_until_it_can(bench: Bench) -> None:
    bench.take(leased("joe@example.org"))
    bench.pool.sent[0][2].callback(delivery(DONE))
    bench.writer.failing = OSError("the database is gone")
    for _ in range(5):
        assert bench.gather() == {}
        bench.clock.advance(AGAIN)
    assert not bench.empty
    bench.writer.failing = None
    assert bench.gather() == {("one", 0): "delivered"}
    assert bench.empty


@pytest.mark.parametrize(
    ("signed", "envelope", "expected"),
    [
        (Signed((b"x",), True, False), {"body": "7BIT"}, ("8BITMIME", False)),
        (Signed((b"x",), False, False), {"body": "8BITMIME"}, ("8BITMIME", False)),
        (Signed((b"x",), False, False), {"smtputf8": True}, ("7BIT", False)),
        (Signed((b"x",), True, True), {"smtputf8": True}, ("8BITMIME", True)),
    ],
)
def test_the_next_server_is_asked_for_what_the_message_needs(
    bench: Bench, signed: Signed, envelope: dict[str, Any], expected: tuple[str, bool]
) -> None:
    bench.signer.answer = signed
    bench.take(leased("joe@example.org", **envelope))
    sent = bench.pool.sent[0][1].envelope
    assert (sent.body, sent.smtputf8) == expected


def test_stopping_drains_what_is_under_way_and_takes_nothing_new(bench: Bench) -> None:
    bench.scheduler.start()
    bench.take(leased("joe@example.org"))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    assert not bench.scheduler.reserve(load())
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert idle == []
    assert bench.gather() == {("one", 0): "delivered"}
    assert idle == [None]
    assert not bench.clock.getDelayedCalls()


def test_stopping_with_nothing_to_do_is_over_at_once(bench: Bench) -> None:
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    assert idle == [None]


def test_what_was_leased_but_not_begun_goes_back_as_it_was(bench: Bench) -> None:
    bench.signer.answer = None
    bench.take(leased("1@example.org", "2@example.org"))
    bench.take(leased("3@example.org", message_id="two"))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    for order in bench.signer.orders:
        order.done(SIGNED)
    bench.pool.sent[0][2].callback(delivery(STOPPING, STOPPING, stage="connect"))
    bench.pool.sent[1][2].callback(delivery(STOPPING, stage="connect"))
    assert idle == [None]
    assert bench.gather() == {}
    assert bench.empty


def test_a_pick_that_comes_back_after_the_stop_is_left_alone(bench: Bench) -> None:
    bench.writer.held = []
    bench.writer.due = [[leased("joe@example.org")]]
    bench.scheduler.start()
    bench.scheduler.stop()
    for commit in bench.writer.held:
        commit()
    assert bench.signer.orders == []
    assert bench.empty


def test_what_no_server_was_given_when_the_time_to_stop_is_over_goes_back_as_it_was(bench: Bench) -> None:
    looked_up: Deferred[Route | NoRoute] = Deferred()
    bench.router.found = {"slow.net": looked_up}
    bench.take(leased("1@example.org", "2@slow.net"))
    bench.signer.answer = None
    bench.take(leased("3@example.org", message_id="unsigned"))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    bench.pool.sent[0][2].callback(delivery(DONE))
    assert idle == []
    bench.scheduler.abandon()
    assert bench.gather() == {("one", 0): "delivered"}
    assert idle == [None]
    assert bench.empty
    looked_up.callback(NoRoute("null-mx", NULL_MX))
    bench.signer.orders[-1].done(SIGNED)
    bench.pool.sent[-1][2].callback(delivery(STOPPING, stage="connect"))
    assert bench.gather() == {("one", 0): "delivered"}
    assert bench.empty
