"""Who asks for TLS on the way to a mail server, and what is remembered of the answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from postmeter.delivery.fair_queue import ANYBODY, Turn
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.provider import Providers
from postmeter.delivery.resolver import Answer
from postmeter.delivery.route import Host, NoRoute, Route
from postmeter.delivery.securing import EXEMPT, MOST_KNOWN, REMEMBERED, Securing
from postmeter.delivery.tls_policy import OPPORTUNISTIC, REQUIRED, TlsPolicy
from postmeter.store.own_mail import OPERATOR
from postmeter.store.tls_reports import REFERENCE
from support.tls_network import message

HOSTS = (Host("mx.good.test", "192.0.2.1", 25, secure=True),)
STATIC = Route("10.0.0.1:25", (Host("10.0.0.1", "10.0.0.1", 25),), static=True)
FOUND = Route("mx.good.test.", HOSTS, domain="good.test")
STS = StsPolicy("enforce", ("mx.good.test",), 60)


class World:
    """A DNS that knows no TLSA record, and domains with these policies."""

    def __init__(self, **policies: StsPolicy) -> None:
        self.policies = policies
        self.asked: list[str] = []
        self.turns: set[Turn] = set()

    async def lookup(self, name: str, type: str, turn: Turn = ANYBODY) -> Answer:
        """See ``Resolver``."""
        self.asked.append(f"{type} {name}")
        self.turns.add(turn)
        return Answer("nodata", (), authenticated=True)

    async def find(self, domain: str, turn: Turn) -> StsPolicy | None:
        """See ``StsPolicies``."""
        self.asked.append(domain)
        self.turns.add(turn)
        return self.policies.get(domain.partition(".")[0])


def secured(securing: Securing, route: Route, **given: object) -> Route | NoRoute:
    found = ensureDeferred(securing.secure(route, message(**given)))  # type: ignore[arg-type]
    assert found.called
    assert isinstance(found.result, Route | NoRoute)
    return found.result


@pytest.mark.parametrize(
    ("required", "domain", "must"),
    [
        ((), "good.test", False),
        (("good.test",), "good.test", True),
        (("Good.Test.",), "good.test", True),
        (("good.test",), "sub.good.test", False),
        (("*",), "good.test", True),
        (("bücher.test",), "xn--bcher-kva.test", True),
        (("xn--bcher-kva.test",), "bücher.test", True),
        (("good.test",), "[192.0.2.1]", False),
    ],
)
def test_the_operator_may_require_tls_for_a_domain_on_any_route(
    required: tuple[str, ...], domain: str, must: bool
) -> None:
    securing = Securing(required)
    assert securing.static(STATIC, domain, message()).tls == (REQUIRED if must else OPPORTUNISTIC)
    assert secured(securing, replace(FOUND, domain=domain)) == replace(FOUND, tls=REQUIRED if must else OPPORTUNISTIC)


def test_a_message_may_require_it_and_a_static_route_is_made_strict_once() -> None:
    securing = Securing()
    assert securing.static(STATIC, "good.test", message()) is STATIC
    strict = securing.static(STATIC, "good.test", message(tls_required=True))
    assert strict == replace(STATIC, tls=REQUIRED)
    assert securing.static(STATIC, "other.test", message(tls_required=True)) is strict
    assert secured(securing, FOUND, tls_required=True) == replace(FOUND, tls=REQUIRED)
    assert secured(securing, FOUND) == FOUND


def test_the_providers_that_have_tls_are_those_that_the_table_marks() -> None:
    expected = {"Google", "Comcast", "Orange", "GMX and WEB.DE", "Barracuda", "KPN", "QQ"}
    known = Providers()
    assert {name for name in known.names if known.shape(name).tls == "required"} == expected


def test_neither_policy_nor_records_are_looked_for_on_static_routes_or_for_reports() -> None:
    world = World(good=STS)
    securing = Securing(resolver=world, policies=world)
    assert securing.static(STATIC, "good.test", message()) is STATIC
    found = secured(securing, replace(FOUND, secure=True), account=OPERATOR, reference=REFERENCE)
    assert found == replace(FOUND, tls=EXEMPT)
    assert world.asked == []


def test_what_was_found_out_is_remembered_for_as_long_as_the_dns_is_not_asked_again() -> None:
    world, clock = World(good=STS), Clock()
    securing = Securing(resolver=world, policies=world, clock=clock.seconds)
    route = replace(FOUND, secure=True)
    for _ in range(3):
        assert secured(securing, route) == replace(FOUND, tls=TlsPolicy(dane=True, sts=STS, domain="good.test"))
    once = ["good.test", "TLSA _25._tcp.mx.good.test"]
    assert (world.asked, world.turns) == (once, {Turn(1)})
    assert secured(securing, route, tls_required=True) != secured(securing, route)
    secured(securing, replace(route, hosts=(replace(HOSTS[0], address="192.0.2.2"),)))
    clock.advance(REMEMBERED)
    secured(securing, route)
    assert world.asked == once * 4


def test_the_order_of_mail_servers_which_is_another_each_time_changes_nothing_about_them() -> None:
    world = World(good=STS)
    securing = Securing(resolver=world, policies=world, clock=Clock().seconds)
    hosts = tuple(
        Host(name, "192.0.2.1", 25, secure=True) for name in ("mx.good.test", "mx2.good.test", "mx3.good.test")
    )
    routes = [replace(FOUND, secure=True, hosts=some) for some in permutations(hosts)]
    for route in routes:
        assert secured(securing, route) == replace(route, tls=TlsPolicy(dane=True, sts=STS, domain="good.test"))
    assert len(world.asked) == 4
    for others in (hosts[:2], (*hosts[:2], Host("mx4.good.test", "192.0.2.1", 25)), (*hosts, hosts[0])):
        found = secured(securing, replace(FOUND, secure=True, hosts=others))
        assert isinstance(found, Route)
        assert found.hosts == others


def test_memory_has_an_end() -> None:
    world = World()
    securing = Securing(policies=world, clock=Clock().seconds)
    for number in range(MOST_KNOWN + 1):
        secured(securing, replace(FOUND, domain=f"{number}.test"))
    secured(securing, replace(FOUND, domain="0.test"))
    secured(securing, replace(FOUND, domain="2.test"))
    assert world.asked[-1] == "0.test"


def test_what_is_over_goes_from_memory() -> None:
    clock = Clock()
    securing = Securing(policies=World(), clock=clock.seconds)
    for number in range(10):
        secured(securing, replace(FOUND, domain=f"{number}.test"))
        secured(securing, replace(FOUND, domain="busy.test"))
        clock.advance(REMEMBERED / 2)
    assert [domain for domain, _ in securing._known] == ["8.test", "busy.test", "9.test"]
