"""From a signed message to the pool: the way to each recipient, and what shares one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from postmeter.delivery.attempt import Delivery, left_over, told, unrouted
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.gathering import Gathering, Groups, join
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.retry import since
from postmeter.delivery.route import NoRoute, Route, Router, static_route
from postmeter.delivery.securing import Securing
from postmeter.delivery.shaping import parties
from postmeter.delivery.signing import Signed
from postmeter.delivery.source import Choice, Sources
from postmeter.message.envelope import Envelope
from postmeter.message.envelope import Recipient as ForwardPath
from postmeter.smtp.mail import Mail, Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.queue import QueuedMessage, QueuedRecipient

MOST_RECIPIENTS = 100  # in a transaction: RFC 5321, 4.5.3.1.8


class Ends(Protocol):
    """Where recipients end, one way or another."""

    def settle(self, parcel: Parcel, recipient: QueuedRecipient, outcome: Outcome, facts: dict[str, Any]) -> None:
        """An attempt has ended."""

    def fail(self, parcel: Parcel, error: BaseException | None, recipients: Sequence[QueuedRecipient]) -> None:
        """Something on our side."""

    def put_off(self, parcel: Parcel, recipient: QueuedRecipient, *receivers: str) -> bool:
        """Whether nothing is to be sent to this provider (or by another of its names), so that the recipient waits."""

    def wait(self, parcel: Parcel, recipient: QueuedRecipient, provider: str, reply: Reply, seconds: float) -> None:
        """It comes again after so many seconds: the provider is sent nothing more now."""

    def time_left(self, parcel: Parcel, recipients: Sequence[QueuedRecipient]) -> float:
        """Seconds in which an attempt for all of them may begin."""

    def wait_for_room(self, parcel: Parcel, recipient: QueuedRecipient, receiver: str) -> bool:
        """Whether the recipient waits a little, since our addresses have sent this provider enough today."""

    def not_begun(self, parcel: Parcel, recipients: list[QueuedRecipient]) -> None:
        """They go back as they were."""


@dataclass(frozen=True)
class Ways:
    """What leads a mail out: routes, how secure they have to be, sessions, who receives it, and our own addresses."""

    router: Router
    securing: Securing
    pool: Pool
    providers: Providers
    sources: Sources | None = None


class Dispatch:
    """Finds routes and hands mails to the pool, as long as the worker's leases are held."""

    def __init__(
        self, ends: Ends, ways: Ways, reactor: Any, clock: Callable[[], float], lease_held: Callable[[], bool]
    ) -> None:
        self._ends = ends
        self._reactor = reactor
        self._router, self._securing, self._providers = ways.router, ways.securing, ways.providers
        self._pool, self._sources = ways.pool, ways.sources
        self._clock = clock
        self._lease_held = lease_held
        self._giving_up = False
        self._paused: list[tuple[Parcel, Signed, Groups]] = []  # not begun: our leases may be another's by now

    def send(self, parcel: Parcel, signed: Signed) -> None:
        """Send a message to its leased recipients."""
        unrouted = []
        routed: Groups = {}
        for recipient in parcel.leased.recipients:
            if (route := self._static(recipient)) is None:
                unrouted.append(recipient)
            else:
                route = self._securing.static(route, recipient.path.domain, parcel.leased.message)
                join(routed, route, recipient)
        self._send_all(parcel, signed, routed)
        if unrouted:
            self._look_up(parcel, signed, unrouted)

    def receivers(self, recipient: QueuedRecipient) -> tuple[str, ...]:
        """Who gets its mail, as an attempt has found out; but the operator may have it sent elsewhere by now."""
        if recipient.route:
            return ()
        route = self._router.static(recipient.path.domain) if recipient.provider else None
        return (recipient.provider,) if route is None else parties(self._providers, route)

    def _static(self, recipient: QueuedRecipient) -> Route | None:
        """Where the operator wants it sent: just this one, or all of its domain."""
        return static_route(recipient.route) if recipient.route else self._router.static(recipient.path.domain)

    def resume(self, giving_up: bool) -> None:
        """The leases were renewed: what waited for that is sent or, from the end on, given back."""
        self._giving_up = giving_up
        self._pool.resume()
        paused, self._paused = self._paused, []
        for parcel, signed, routed in paused:
            self._send_all(parcel, signed, routed)

    def _look_up(self, parcel: Parcel, signed: Signed, recipients: list[QueuedRecipient]) -> None:
        """Find all routes at once, and send: recipients at the same mail servers share one transaction if they can."""
        gathering = Gathering(self._reactor, len(recipients), partial(self._send_all, parcel, signed))
        began = self._clock()
        for recipient in recipients:
            d = ensureDeferred(self._find_route(parcel.leased.message, recipient))
            d.addCallback(self._found, parcel, recipient, began, gathering)
            d.addErrback(self._failed, parcel, [recipient])
            d.addCallback(lambda _: gathering.end_one())

    def _found(
        self,
        route: Route | NoRoute,
        parcel: Parcel,
        recipient: QueuedRecipient,
        began: float,
        gathering: Gathering,
    ) -> None:
        if not isinstance(route, NoRoute):
            gathering.add(route, recipient)
            return
        facts = unrouted(recipient.path.domain, route, began, self._clock())
        if route.unknown:
            facts["unknown_since"] = recipient.unknown_since or self._clock()
        self._ends.settle(parcel, recipient, Outcome(0, route.reply, "route"), facts)

    async def _find_route(self, message: QueuedMessage, recipient: QueuedRecipient) -> Route | NoRoute:
        unknown_for = self._unknown_for(recipient)
        route = await self._router.route(recipient.path.domain, unknown_for=unknown_for, turn=Turn.of(message))
        return route if isinstance(route, NoRoute) else await self._securing.secure(route, message)

    def _unknown_for(self, recipient: QueuedRecipient) -> float:
        return self._clock() - recipient.unknown_since if recipient.unknown_since else 0.0

    def _send_all(self, parcel: Parcel, signed: Signed, routed: Groups) -> None:
        held = self._lease_held()
        if not held and not self._giving_up:
            self._paused.append((parcel, signed, routed))
            return
        for route, all_recipients in routed.values():
            for recipients in batches(all_recipients):
                try:
                    self._send_some(parcel, signed, route, recipients, held)
                except Exception as error:  # the others are on their way, or will be
                    self._ends.fail(parcel, error, recipients)

    def _send_some(
        self, parcel: Parcel, signed: Signed, route: Route, recipients: list[QueuedRecipient], held: bool
    ) -> None:
        receivers = parties(self._providers, route)
        recipients = [one for one in recipients if not self._ends.put_off(parcel, one, *receivers)]
        choice = self._leaves_from(parcel, signed, route, receivers[0], len(recipients))
        if choice is not None and choice.over and held:
            recipients = [one for one in recipients if not self._ends.wait_for_room(parcel, one, receivers[0])]
        if not recipients:
            return
        if held:
            self._send(parcel, signed, route, recipients, choice)
        else:
            self._ends.not_begun(parcel, recipients)

    def _leaves_from(
        self, parcel: Parcel, signed: Signed, route: Route, receiver: str, recipients: int
    ) -> Choice | None:
        """An own next hop need not get to know our addresses, other receivers do."""
        if self._sources is None:
            return None
        provider = "" if route.static else receiver
        return self._sources.choose(signed.pool, parcel.leased.message.id, provider, route.hosts, recipients)

    def _send(
        self, parcel: Parcel, signed: Signed, route: Route, recipients: list[QueuedRecipient], choice: Choice | None
    ) -> None:
        message = parcel.leased.message
        envelope, untried = message.envelope, recipients
        if len(recipients) > 1:
            recipients = [replace(one, shared=True) for one in recipients]
        reverse_path = _reverse_path(message, signed, recipients)
        ours = reverse_path != envelope.reverse_path
        paths = tuple(_for_us(recipient.path) if ours else recipient.path for recipient in recipients)
        needs_utf8 = envelope.smtputf8 and (
            signed.utf8_header or not reverse_path.isascii() or not all(p.forward_path.isascii() for p in paths)
        )
        body = "8BITMIME" if signed.eight_bit else envelope.body
        ret = "HDRS" if ours and envelope.ret else envelope.ret
        leaving = Envelope(reverse_path, paths, body, needs_utf8, ret, envelope.envid)
        mail = Mail(leaving, signed.chunks)
        source = choice.source if choice is not None else None
        within = self._ends.time_left(parcel, recipients)
        d = self._pool.deliver(route, mail, Turn.of(message), source, within=within)
        if self._sources is not None and choice is not None:
            self._sources.follow(d, choice, self._providers.of(route.hosts[0].name), len(recipients))

        def sent(delivery: Delivery) -> None:
            if delivery.put_off is not None:
                self._wait(parcel, route, untried, delivery)
                return
            now, receiver = self._clock(), self._providers.of(delivery.facts.name)
            too_many = left_over(delivery.outcomes)
            for outcome in delivery.outcomes:
                if outcome not in too_many:
                    recipient = recipients[outcome.recipient]
                    facts = told(delivery, outcome, now, receiver, recipient.path.notify, passed_on=not ours)
                    self._ends.settle(parcel, recipient, outcome, facts)
            if too_many:
                self._send(parcel, signed, route, [recipients[outcome.recipient] for outcome in too_many], choice)

        d.addCallback(sent)
        d.addErrback(self._failed, parcel, recipients)

    def _wait(self, parcel: Parcel, route: Route, recipients: list[QueuedRecipient], delivery: Delivery) -> None:
        receivers = parties(self._providers, route)
        assert delivery.put_off is not None
        for recipient, outcome in zip(recipients, delivery.outcomes, strict=True):
            if not self._ends.put_off(parcel, recipient, *receivers):
                self._ends.wait(parcel, recipient, receivers[0], outcome.reply, delivery.put_off)

    def _failed(self, failure: Failure, parcel: Parcel, recipients: Sequence[QueuedRecipient]) -> None:
        self._ends.fail(parcel, failure.value, recipients)


def _reverse_path(message: QueuedMessage, signed: Signed, recipients: Sequence[QueuedRecipient]) -> str:
    """What tells what a bounce is about, where bounces come to us; the null path stays (RFC 5321, 4.5.5).

    Who was tried together with others keeps the path of all of them to its end: to a server that greylists by the
    sender (RFC 6647, 2.3) another path is another mail, which has to wait anew.
    """
    given = message.envelope.reverse_path
    if signed.returns is None or not given:
        return given
    first = recipients[0]
    waited = max(since(message, one) for one in recipients) - message.accepted_at
    return signed.returns.write(message.id, None if first.shared else first.n, waited)


def _for_us(path: ForwardPath) -> ForwardPath:
    """What comes back comes to us, whatever its sender wants to hear: failures, and nothing of success."""
    return replace(path, notify="FAILURE") if path.notify else path


def batches(recipients: list[QueuedRecipient]) -> list[list[QueuedRecipient]]:
    """As many at once as every server takes."""
    return [recipients[start : start + MOST_RECIPIENTS] for start in range(0, len(recipients), MOST_RECIPIENTS)]
