"""From a signed message to the pool: the way to each recipient, and what shares one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.python.failure import Failure

from postmeter.delivery.attempt import Delivery, told, unrouted
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.outcome import HANDED_OVER
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import Providers
from postmeter.delivery.route import NoRoute, Route, Router
from postmeter.delivery.shaping import parties
from postmeter.delivery.signing import Signed
from postmeter.smtp.mail import Mail, Outcome
from postmeter.smtp.reply import Reply
from postmeter.store.queue import QueuedRecipient

TOO_MANY = ("", "4.5.3")  # what 452 says besides about too many recipients
MOST_RECIPIENTS = 100  # in a transaction: RFC 5321, 4.5.3.1.8
Groups = dict[str, tuple[Route, list[QueuedRecipient]]]  # by the route's key: what shares one transaction


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

    def not_begun(self, parcel: Parcel, recipients: list[QueuedRecipient]) -> None:
        """They go back as they were."""


class Dispatch:
    """Finds routes and hands mails to the pool, as long as the worker's leases are held."""

    def __init__(
        self,
        ends: Ends,
        *,
        router: Router,
        pool: Pool,
        providers: Providers,
        clock: Callable[[], float],
        lease_held: Callable[[], bool],
    ) -> None:
        self._ends = ends
        self._router = router
        self._pool = pool
        self._providers = providers
        self._clock = clock
        self._lease_held = lease_held
        self._giving_up = False
        self._paused: list[tuple[Parcel, Signed, Groups]] = []  # not begun: our leases may be another's by now

    def send(self, parcel: Parcel, signed: Signed) -> None:
        """Send a message to its leased recipients."""
        unrouted = []
        routed: Groups = {}
        for recipient in parcel.leased.recipients:
            if (route := self._router.static(recipient.path.domain)) is None:
                unrouted.append(recipient)
            else:
                routed.setdefault(route.key, (route, []))[1].append(recipient)
        self._send_all(parcel, signed, routed)
        if unrouted:
            d = ensureDeferred(self._find_routes(parcel, signed, unrouted))
            d.addErrback(self._failed, parcel, unrouted)

    def resume(self, giving_up: bool) -> None:
        """The leases were renewed: what waited for that is sent or, from the end on, given back."""
        self._giving_up = giving_up
        paused, self._paused = self._paused, []
        for parcel, signed, routed in paused:
            self._send_all(parcel, signed, routed)

    async def _find_routes(self, parcel: Parcel, signed: Signed, recipients: list[QueuedRecipient]) -> None:
        """Route all, then send: recipients at the same mail servers share one transaction."""
        began = self._clock()
        looking = [
            ensureDeferred(self._router.route(r.path.domain, unknown_for=self._unknown_for(r))) for r in recipients
        ]
        routed: Groups = {}
        for recipient, route in zip(recipients, await gatherResults(looking, consumeErrors=True), strict=True):
            if isinstance(route, NoRoute):
                facts = unrouted(recipient.path.domain, route, began, self._clock())
                if route.unknown:
                    facts["unknown_since"] = recipient.unknown_since or self._clock()
                self._ends.settle(parcel, recipient, Outcome(0, route.reply, "route"), facts)
            else:
                routed.setdefault(route.key, (route, []))[1].append(recipient)
        self._send_all(parcel, signed, routed)

    def _unknown_for(self, recipient: QueuedRecipient) -> float:
        return self._clock() - recipient.unknown_since if recipient.unknown_since else 0.0

    def _send_all(self, parcel: Parcel, signed: Signed, routed: Groups) -> None:
        held = self._lease_held()
        if not held and not self._giving_up:
            self._paused.append((parcel, signed, routed))
            return
        for route, all_recipients in routed.values():
            receivers = parties(self._providers, route)
            recipients = [one for one in all_recipients if not self._ends.put_off(parcel, one, *receivers)]
            if not recipients:
                continue
            try:
                if held:
                    for some in batches(recipients):
                        self._send(parcel, signed, route, some)
                else:
                    self._ends.not_begun(parcel, recipients)
            except Exception as error:  # the other groups are on their way, or will be
                self._ends.fail(parcel, error, recipients)

    def _send(self, parcel: Parcel, signed: Signed, route: Route, recipients: list[QueuedRecipient]) -> None:
        message = parcel.leased.message
        envelope = message.envelope
        paths = tuple(recipient.path for recipient in recipients)
        needs_utf8 = envelope.smtputf8 and (
            signed.utf8_header
            or not envelope.reverse_path.isascii()
            or not all(p.forward_path.isascii() for p in paths)
        )
        body = "8BITMIME" if signed.eight_bit else envelope.body
        mail = Mail(replace(envelope, recipients=paths, smtputf8=needs_utf8, body=body), signed.chunks)
        d = self._pool.deliver(route, mail, Turn(message.account_id, message.priority))

        def sent(delivery: Delivery) -> None:
            if delivery.put_off is not None:
                self._wait(parcel, route, recipients, delivery)
                return
            now, receiver = self._clock(), self._providers.of(delivery.facts.name)
            too_many = left_over(delivery.outcomes)
            for outcome in delivery.outcomes:
                if outcome not in too_many:
                    facts = told(delivery, outcome, now, receiver)
                    self._ends.settle(parcel, recipients[outcome.recipient], outcome, facts)
            if too_many:
                self._send(parcel, signed, route, [recipients[outcome.recipient] for outcome in too_many])

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


def batches(recipients: list[QueuedRecipient]) -> list[list[QueuedRecipient]]:
    """As many at once as every server takes."""
    return [recipients[start : start + MOST_RECIPIENTS] for start in range(0, len(recipients), MOST_RECIPIENTS)]


def left_over(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that the server had no room for next to others (RFC 5321, 4.5.3.1.10): another transaction, at once.

    There are fewer each time: without others that got their answer, nothing is left over.
    """
    left = [one for one in outcomes if one.stage == "rcpt" and one.reply.code == 452 and one.reply.status in TOO_MANY]
    if not left or len(left) == len(outcomes):
        return []
    return left if all(one.stage in HANDED_OVER for one in outcomes) else []
