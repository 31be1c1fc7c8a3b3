"""TLS on a network of our own: what is delivered, what waits, and that nobody in the middle reads or gets a mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from postmeter.config import Delivery, Server, Settings
from postmeter.delivery.opening import BROKEN, note_nothing
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Resolver
from postmeter.delivery.route import Host, Route
from postmeter.delivery.sts_policies import LOOK_AGAIN
from postmeter.delivery.transport_security import TransportSecurity
from postmeter.fetch import Fetched, FetchError
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.tls_reports import REFERENCE
from support.authority import Authority
from support.delivering import mail
from support.tls_network import MX, TEXT, WANTED, Middleman, Network, NewNetwork, policy, tlsa


def stripped(data: bytes) -> bytes:
    """As if the server did not offer STARTTLS."""
    return data.replace(b"250-STARTTLS\r\n", b"").replace(b"250 STARTTLS\r\n", b"250 HELP\r\n")


def injected(data: bytes) -> bytes:
    """A reply in clear text behind the one to STARTTLS."""
    return data + b"250 smuggled\r\n" if data.startswith(b"220 2.0.0") else data


# Opportunistic, and required on somebody's word (D28, D29)


@pytest_twisted.ensureDeferred
async def test_a_bad_certificate_is_delivered_to_where_nothing_is_asked_for_and_the_fact_is_kept(
    network: NewNetwork,
) -> None:
    net = network()
    server = net.server(MX, net.authority.issue(MX, days=-1))
    net.domain("good.test", MX)
    facts = await net.send("good.test")
    assert facts["delivered"]
    assert server.accepted[0].tls
    assert (facts["certificate"], facts["tls_policy"], facts["authenticated"]) == (
        "it has expired",
        "opportunistic",
        False,
    )


@pytest_twisted.ensureDeferred
async def test_a_failed_handshake_is_followed_by_one_try_in_clear_and_remembered_for_three_days(
    network: NewNetwork,
) -> None:
    net = network()
    server = net.server(MX, options=net.authority.issue(MX).old_fashioned())
    net.domain("good.test", MX, reports=WANTED)
    for attempts, later in ((1, 0), (1, 3 * 86_400 - 1), (2, 1)):
        net.clock.advance(later)
        for sender in net.pool._destinations.copy().values():
            sender.drop_idle()
        facts = await net.send("good.test")
        assert (facts["delivered"], facts["tls"], facts["in_clear"]) == (True, None, BROKEN)
        assert server.commands.count(b"STARTTLS") == attempts
    assert await net.counted() == {("good.test", "no-policy-found", "validation-failure"): 3}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("who", ["the operator", "the operator for all", "the message"])
async def test_where_tls_is_required_nothing_leaves_in_clear(network: NewNetwork, who: str) -> None:
    required = {"the operator": ("good.test",), "the operator for all": ("*",)}.get(who, ())
    net = network(required=required)
    server = net.server(MX, starttls="")
    net.domain("good.test", MX, reports=WANTED)
    facts = await net.send("good.test", tls_required=who == "the message")
    assert (facts["delivered"], facts["reply"][:10]) == (False, "451 4.7.10")
    assert not server.started
    assert await net.counted() == {("good.test", "no-policy-found", "starttls-not-supported"): 1}
    server.starttls = "good"
    facts = await net.send("good.test", tls_required=who == "the message")
    assert (facts["delivered"], facts["tls_policy"]) == (True, "required")


@pytest_twisted.ensureDeferred
async def test_a_provider_that_has_tls_is_never_sent_mail_in_clear(network: NewNetwork) -> None:
    net, name = network(), "mx.smtp.google.com"
    server = net.server(name, starttls="")
    net.domain("good.test", name)
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["provider"], facts["reply"][:10]) == (False, "Google", "451 4.7.10")
    assert not server.started


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("asks", ["required", "sts", "dane"])
@pytest.mark.parametrize("edit", [stripped, injected])
async def test_somebody_in_the_middle_gets_nothing_where_anybody_asks_for_tls(
    network: NewNetwork, edit: Callable[[bytes], bytes], asks: str
) -> None:
    net = network(required=("good.test",) if asks == "required" else ())
    credential = net.authority.issue(MX)
    real = net.server(MX, credential)
    net.at(MX, Middleman(real, net.zone[MX, "A"][0], edit))
    net.domain("good.test", MX, sts=policy(MX) if asks == "sts" else "")
    if asks == "dane":
        net.tlsa(MX, tlsa(credential.certificate))
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["reply"][:6], facts["tls_policy"]) == (False, "451 4.", asks)
    assert real.sessions
    assert not real.started


# MTA-STS (D30)


@pytest_twisted.ensureDeferred
async def test_a_policy_that_is_kept_is_delivered_and_counts_as_authenticated(network: NewNetwork) -> None:
    net = network(secure=False)
    server = net.server(MX)
    net.domain("good.test", MX, sts=policy("*.good.test"), reports=WANTED)
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["tls_policy"], facts["authenticated"]) == (True, "sts", True)
    assert server.accepted[0].tls
    assert await net.counted() == {("good.test", "sts", ""): 1}


BROKEN_PROMISES: dict[str, tuple[Callable[[Network], dict[str, Any]], str, str]] = {
    "another authority": (
        lambda net: {"credential": Authority("Foreign").issue(MX)},
        "451 4.7.5",
        "certificate-not-trusted",
    ),
    "another name": (
        lambda net: {"credential": net.authority.issue("other.test")},
        "451 4.7.5",
        "certificate-host-mismatch",
    ),
    "an old certificate": (
        lambda net: {"credential": net.authority.issue(MX, days=-1)},
        "451 4.7.5",
        "certificate-expired",
    ),
    "an old version": (
        lambda net: {"options": net.authority.issue(MX).old_fashioned()},
        "451 4.7.5",
        "validation-failure",
    ),
    "no TLS": (lambda net: {"starttls": ""}, "451 4.7.10", "starttls-not-supported"),
}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("mode", ["enforce", "testing"])
@pytest.mark.parametrize("case", BROKEN_PROMISES)
async def test_a_broken_promise_keeps_mail_back_and_only_counts_while_it_is_tested(
    network: NewNetwork, case: str, mode: str
) -> None:
    server_is, reply, result = BROKEN_PROMISES[case]
    net = network()
    server = net.server(MX, **server_is(net))
    net.domain("good.test", MX, sts=policy(MX, mode=mode), reports=WANTED)
    facts = await net.send("good.test")
    if mode == "enforce":
        assert (facts["delivered"], facts["reply"].startswith(f"{reply} ")) == (False, True)
        assert not server.started
    else:
        assert (facts["delivered"], facts.get("authenticated", False)) == (True, False)
        assert bool(facts.get("tls_flaw")) == case.startswith(("another", "an old certificate"))
    assert await net.counted() == {("good.test", "sts", result): 1}


@pytest_twisted.ensureDeferred
async def test_a_mail_server_that_the_policy_does_not_name_is_passed_over(network: NewNetwork) -> None:
    net = network()
    foreign, own = net.server("mx.evil.test"), net.server(MX)
    net.domain("good.test", "mx.evil.test", MX, sts=policy(MX), reports=WANTED)
    net.domain("all.test", "mx.evil.test", sts=policy(MX), reports=WANTED)
    net.domain("testing.test", "mx.evil.test", sts=policy(MX, mode="testing"), reports=WANTED)
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["remote"]) == (True, MX)
    facts = await net.send("all.test")
    assert (facts["delivered"], facts["reply"][:9]) == (False, "451 4.7.5")
    assert not foreign.sessions
    assert (await net.send("testing.test"))["delivered"]
    assert len(own.accepted) == len(foreign.accepted) == 1
    counted = await net.counted()
    assert counted["all.test", "sts", "validation-failure"] == counted["testing.test", "sts", "validation-failure"] == 1


@pytest_twisted.ensureDeferred
async def test_the_policy_of_one_domain_says_nothing_about_another_at_the_same_mail_server(
    network: NewNetwork,
) -> None:
    net = network()
    server = net.server(MX, Authority("Foreign").issue(MX))
    for name, sts in (("strict.test", policy(MX)), ("other.test", policy(MX)), ("lax.test", "")):
        net.domain(name, MX, sts=sts)
    delivered = [(await net.send(name))["delivered"] for name in ("lax.test", "strict.test", "lax.test", "other.test")]
    assert delivered == [True, False, True, False]
    assert {received.session for received in server.accepted} == {0}
    routes = [await net.route(name) for name in ("strict.test", "other.test", "lax.test")]
    assert len({(route.key, route.tls) for route in routes if isinstance(route, Route)}) == 3
    assert len({route.key for route in routes if isinstance(route, Route)}) == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Fetched(200, TEXT, policy(MX).encode() + b"\r\nx: y" * 20_000), "sts-policy-invalid"),
        (Fetched(301, TEXT | {"location": "https://good.test/"}, policy(MX).encode()), "sts-policy-fetch-error"),
        (FetchError("nobody there"), "sts-policy-fetch-error"),
    ],
    ids=["more than 64 kB", "a redirect", "nobody there"],
)
async def test_a_policy_that_cannot_be_had_counts_as_none_and_is_reported(
    network: NewNetwork, answer: Any, result: str
) -> None:
    net = network()
    net.server(MX, starttls="")
    net.domain("good.test", MX, sts="-", reports=WANTED)
    net.web.policies["good.test"] = answer
    for _ in range(2):
        assert (await net.send("good.test"))["delivered"]
    assert net.web.asked == ["good.test"]
    net.clock.advance(LOOK_AGAIN)
    assert (await net.send("good.test"))["delivered"]
    assert len(net.web.asked) == 2
    assert (await net.counted())["good.test", "sts", result] == 2


# Sessions, and reports


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", ["dane", "sts"])
async def test_a_session_that_is_resumed_counts_as_what_the_first_one_was(network: NewNetwork, kind: str) -> None:
    net = network()
    credential = net.authority.issue(MX) if kind == "sts" else Authority("Foreign").issue(MX)
    net.server(MX, credential)
    net.domain("good.test", MX, sts=policy(MX) if kind == "sts" else "")
    net.domain("lax.test", MX)
    net.dns.insecure.add(("lax.test", "MX"))
    if kind == "dane":
        net.tlsa(MX, tlsa(credential.certificate))
    seen = []
    for name in ("lax.test", "good.test", "good.test", "lax.test"):
        found = await net.route(name)
        assert isinstance(found, Route)
        delivery = await net.pool.deliver(found, mail())
        assert delivery.facts.tls is not None
        seen.append((delivery.facts.tls.resumed, delivery.facts.authenticated))
        for destination in net.pool._destinations.copy().values():
            destination.drop_idle()
    assert seen == [(False, False), (False, True), (True, True), (True, False)]


@pytest_twisted.ensureDeferred
async def test_a_report_arrives_where_tls_is_broken_and_is_itself_not_reported(network: NewNetwork) -> None:
    net = network()
    server = net.server(MX, starttls="")
    net.domain("good.test", MX, sts=policy(MX), reports=WANTED)
    assert not (await net.send("good.test"))["delivered"]
    before = await net.counted()
    assert (await net.send("good.test", account=OPERATOR, reference=REFERENCE))["delivered"]
    assert len(server.accepted) == 1
    assert not (await net.send("good.test", account=1, reference=REFERENCE))["delivered"]
    after = await net.counted()
    assert sum(after.values()) == sum(before.values()) + 1


@pytest_twisted.ensureDeferred
async def test_only_domains_that_ask_for_reports_are_counted(network: NewNetwork) -> None:
    net = network()
    net.server(MX)
    for name, reports in (("wants.test", WANTED), ("does-not.test", ""), ("odd.test", "ftp://odd.test/")):
        net.domain(name, MX, reports=reports)
        assert (await net.send(name))["delivered"]
    assert {domain for domain, _, _ in await net.counted()} <= {"wants.test"}


# A worker's parts


def test_what_a_worker_finds_out_is_known_to_the_next_one(store: Store) -> None:
    host = Host(MX, "192.0.2.1", 25)

    def submit(change: Any, item: Any, done: Callable[[Any], None]) -> None:
        with store.write() as session:
            done(change(session, [item])[0])

    def worker(**chosen: Any) -> TransportSecurity:
        settings = Settings(server=Server(hostname="relay.test"), delivery=Delivery(**chosen))
        resolver = Resolver(Clock(), ())
        return TransportSecurity(
            settings, 1, resolver, Providers(), store, lambda _: Deferred(), submit, lambda _: None
        )

    assert host not in worker().broken
    worker().broken.add(host)
    assert host in worker().broken
    assert worker(tls_reports=False).note is note_nothing
