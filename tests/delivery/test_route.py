"""Where mail goes: static routes, MX records, and what keeps mail from going anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.resolver import Resolver, Server, Status
from postmeter.delivery.route import (
    DNS_FAILURE,
    NO_ADDRESS,
    NO_DOMAIN,
    NO_DOMAIN_YET,
    NOT_PUBLIC,
    NULL_MX,
    Host,
    Route,
    Router,
)
from postmeter.errors import ConfigError
from postmeter.message.handling import URGENT
from postmeter.smtp.reply import Reply
from support.dns_server import SERVFAIL, DnsServer
from support.hours import Hours
from support.zone import Zone, addresses, refusal, router


@pytest_twisted.ensureDeferred
async def test_a_static_route_comes_before_all_and_may_be_private() -> None:
    zone = Zone({})
    here = Router(zone, {"*": "127.0.0.1:2525", "Example.org": "[::1]:26"}, lambda _: None)
    assert await here.route("EXAMPLE.org") == Route("[::1]:26", (Host("::1", "::1", 26),), static=True)
    assert await here.route("other.org") == here.static("x.y")
    assert here.static("other.org") == Route("127.0.0.1:2525", (Host("127.0.0.1", "127.0.0.1", 2525),), static=True)
    assert not zone.asked


def test_a_static_route_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="routes"):
        Router(Zone({}), {"*": "nonsense"}, lambda _: None)


@pytest_twisted.ensureDeferred
async def test_hosts_come_by_preference_and_at_random_within_one() -> None:
    here = router(
        {
            ("example.org", "MX"): ["20 last.test.", "10 a.test.", "10 b.test."],
            ("a.test", "A"): ["192.0.2.1"],
            ("b.test", "A"): ["192.0.2.2"],
            ("last.test", "A"): ["192.0.2.3"],
        }
    )
    route = await here.route("example.org")
    assert isinstance(route, Route)
    assert [host.name for host in route.hosts] in (["b.test", "a.test", "last.test"], ["a.test", "b.test", "last.test"])
    assert route.key == "a.test.,b.test.,last.test."
    assert route.hosts[0].port == 25


@pytest_twisted.ensureDeferred
async def test_all_questions_about_a_route_are_asked_in_the_turn_of_its_mail() -> None:
    zone = Zone({("example.org", "MX"): ["10 a.test."], ("a.test", "A"): ["192.0.2.1"]})
    await Router(zone, {}, lambda _: None).route("example.org", turn=Turn(7, URGENT))
    assert (len(zone.asked), zone.turns) == (3, {Turn(7, URGENT)})


@pytest_twisted.ensureDeferred
async def test_domains_with_the_same_servers_have_the_same_key() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("one.org", "MX"): ["10 A.test.", "10 b.test."],
        ("two.org", "MX"): ["5 b.test.", "5 a.test."],
        ("a.test", "A"): ["192.0.2.1"],
        ("b.test", "A"): ["192.0.2.2"],
    }
    one, two = await router(zone).route("one.org"), await router(zone).route("two.org")
    assert isinstance(one, Route)
    assert isinstance(two, Route)
    assert one.key == two.key


@pytest_twisted.ensureDeferred
async def test_both_families_are_among_at_most_five_addresses() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["10 mx.test."],
        ("mx.test", "A"): [f"192.0.2.{number}" for number in range(1, 9)],
        ("mx.test", "AAAA"): [f"2001:db8::{number}" for number in range(1, 9)],
    }
    found = addresses(await router(zone).route("example.org"))
    assert found == ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "192.0.2.3"]


@pytest_twisted.ensureDeferred
async def test_a_domain_without_mx_is_its_own_server() -> None:
    route = await router({("example.org", "A"): ["192.0.2.1"]}).route("example.org")
    assert route == Route("example.org", (Host("example.org", "192.0.2.1", 25),))


@pytest_twisted.ensureDeferred
async def test_a_server_with_ipv6_only_is_reached() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["1 six.test."],
        ("six.test", "AAAA"): ["2001:db8::1"],
    }
    assert addresses(await router(zone).route("example.org")) == ["2001:db8::1"]


@pytest_twisted.ensureDeferred
async def test_a_null_mx_is_permanent() -> None:
    failure = refusal(await router({("example.org", "MX"): ["0 ."]}).route("example.org"))
    assert (failure.kind, failure.reply, failure.reply.permanent) == ("null-mx", NULL_MX, True)


def test_whether_a_domain_refuses_mail_is_said_at_once_when_it_is_known() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("none.org", "MX"): ["0 ."],
        ("both.org", "MX"): ["0 .", "10 mx.test."],
        ("bad.org", "MX"): "failure",
        ("here.org", "MX"): ["0 ."],
    }
    here = Router(Zone(zone), {"here.org": "127.0.0.1:2525"}, lambda _: None)
    assert here.refuses_mail("None.ORG") is True
    for domain in ("both.org", "bad.org", "nowhere.test", "Here.org", "[192.0.2.1]"):
        assert here.refuses_mail(domain) is False


@pytest_twisted.ensureDeferred
async def test_what_a_look_at_the_door_finds_is_there_for_delivery(dns_server: Callable[..., DnsServer]) -> None:
    zone = {("none.org", "MX"): ["0 ."], ("example.org", "MX"): ["10 mx.test."], ("mx.test", "A"): ["192.0.2.1"]}
    server = dns_server(zone | {("bad.org", "MX"): SERVFAIL})
    here = Router(Resolver(reactor, (Server("127.0.0.1", server.port),)), {}, lambda _: None)
    for domain, refuses in (("none.org", True), ("example.org", False), ("bad.org", False)):
        first = here.refuses_mail(domain)
        assert isinstance(first, Deferred)
        assert await first is refuses
        assert here.refuses_mail(domain) is refuses
    assert refusal(await here.route("none.org")).kind == "null-mx"
    assert addresses(await here.route("example.org")) == ["192.0.2.1"]
    asked = [question for question in server.questions if question[1] == "MX" and question[0] != "bad.org"]
    assert asked == [("none.org", "MX", "udp"), ("example.org", "MX", "udp")]


@pytest_twisted.ensureDeferred
async def test_who_does_not_wait_any_longer_ends_no_look_up(dns_server: Callable[..., DnsServer]) -> None:
    server = dns_server({("none.org", "MX"): ["0 ."]})
    here = Router(Resolver(reactor, (Server("127.0.0.1", server.port),)), {}, lambda _: None)
    given_up, other = here.refuses_mail("none.org"), here.refuses_mail("none.org")
    assert isinstance(given_up, Deferred)
    assert isinstance(other, Deferred)
    given_up.addErrback(lambda failure: failure.trap(CancelledError) and None).cancel()
    assert await given_up is None
    assert await other is True
    assert here.refuses_mail("none.org") is True
    assert len(server.questions) == 1


@pytest_twisted.ensureDeferred
async def test_a_domain_that_is_not_there_is_looked_for_again_before_it_is_given_up() -> None:
    here = router({})
    for since, reply in ((0.0, NO_DOMAIN_YET), (899.0, NO_DOMAIN_YET), (900.0, NO_DOMAIN)):
        failure = refusal(await here.route("nowhere.test", unknown_for=since))
        assert failure.unknown
        assert failure.reply == reply
    assert NO_DOMAIN.permanent
    assert NO_DOMAIN_YET.transient


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("domain", ["nowhere.org", "example.org"])
async def test_the_second_look_is_a_question_and_not_what_the_cache_has_kept(
    dns_server: Callable[..., DnsServer], domain: str
) -> None:
    server, clock = dns_server({("example.org", "TXT"): ["there"]}), Hours()
    server.negative_ttl = 86_400
    here = Router(Resolver(clock, (Server("127.0.0.1", server.port),)), {}, lambda _: None)

    async def look(now: float, reply: Reply, *, first: float = 0.0) -> int:
        clock.later = now
        assert refusal(await here.route(domain, unknown_for=now - first)).reply == reply
        return len(server.questions)

    await look(0, NO_DOMAIN_YET)
    asked = await look(610, NO_DOMAIN_YET, first=610)  # for another mail
    assert await look(901, NO_DOMAIN_YET) == asked
    assert await look(1_209, NO_DOMAIN_YET) == asked
    assert await look(1_211, NO_DOMAIN) > asked
    assert await look(1_600, NO_DOMAIN) > asked  # since that question


@pytest_twisted.ensureDeferred
async def test_a_domain_without_any_address_counts_as_not_there() -> None:
    assert refusal(await router({("example.org", "TXT"): ["x"]}).route("example.org")).unknown


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("failing", [("example.org", "MX"), ("mx.test", "A")])
async def test_a_failure_of_the_dns_is_transient(failing: tuple[str, str]) -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["10 mx.test."],
        ("mx.test", "TXT"): ["x"],
    }
    zone[failing] = "failure"
    failure = refusal(await router(zone).route("example.org", unknown_for=10_000))
    assert (failure.kind, failure.reply) == ("dns", DNS_FAILURE)
    assert failure.reply.transient


@pytest_twisted.ensureDeferred
async def test_one_server_whose_lookup_fails_does_not_matter_when_another_is_there() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["10 bad.test.", "20 good.test."],
        ("bad.test", "A"): "failure",
        ("good.test", "A"): ["192.0.2.9"],
    }
    assert addresses(await router(zone).route("example.org")) == ["192.0.2.9"]


@pytest_twisted.ensureDeferred
async def test_servers_without_address_are_transient() -> None:
    failure = refusal(await router({("example.org", "MX"): ["10 mx.test."]}).route("example.org"))
    assert (failure.kind, failure.reply) == ("routing", NO_ADDRESS)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"])
async def test_servers_inside_are_not_contacted(address: str) -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["10 mx.test."],
        ("mx.test", "A"): [address],
    }
    failure = refusal(await router(zone).route("example.org"))
    assert (failure.kind, failure.reply) == ("routing", NOT_PUBLIC)
    assert failure.reply.transient
    assert addresses(await router(zone, allow_private=True).route("example.org")) == [address]


@pytest_twisted.ensureDeferred
async def test_only_the_public_addresses_of_a_server_are_used() -> None:
    zone: dict[tuple[str, str], list[str] | Status] = {
        ("example.org", "MX"): ["10 mx.test."],
        ("mx.test", "A"): ["127.0.0.1", "192.0.2.1"],
        ("mx.test", "AAAA"): ["::1", "::ffff:127.0.0.1"],
    }
    assert addresses(await router(zone).route("example.org")) == ["192.0.2.1"]


@pytest_twisted.ensureDeferred
async def test_an_mx_that_is_an_address_is_judged_like_one() -> None:
    assert addresses(await router({("a.org", "MX"): ["10 192.0.2.4."]}).route("a.org")) == ["192.0.2.4"]
    assert refusal(await router({("a.org", "MX"): ["10 127.0.0.1."]}).route("a.org")).kind == "routing"


@pytest_twisted.ensureDeferred
async def test_what_the_dns_was_asked_and_said_is_told_when_there_is_no_route() -> None:
    answers: dict[tuple[str, str], list[str] | Status] = {
        ("a.example", "MX"): ["10 mx.a.example."],
        ("mx.a.example", "A"): ["10.0.0.1"],
        ("mx.a.example", "AAAA"): "failure",
    }
    asked = router(answers)
    assert refusal(await asked.route("a.example")).steps == (
        "MX a.example: 10 mx.a.example.",
        "A mx.a.example: 10.0.0.1",
        "AAAA mx.a.example: failure",
    )
    assert refusal(await asked.route("b.example")).steps == ("MX b.example: nxdomain",)
