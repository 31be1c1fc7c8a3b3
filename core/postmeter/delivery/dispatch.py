"""From a signed message to the pool: the way to each recipient, and what shares one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.python.failure import Failure

from postmeter.delivery.attempt import Delivery, told, unrouted
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import Pool
from postmeter.delivery.provider import provider
from postmeter.delivery.route import NoRoute, Route, Router
from postmeter.delivery.signing import Signed
from postmeter.smtp.mail import Mail, Outcome
from postmeter.store.queue import QueuedRecipient

Groups = dict[str, tuple[Route, list[QueuedRecipient]]]  # by the route's key: what shares one transaction


class Ends(Protocol):
    """Where recipients end, one way or another."""

    def settle(self, parcel: Parcel, recipient: QueuedRecipient, outcome: Outcome, facts: dict[str, Any]) -> None:
        """An attempt has ended."""

    def fail(self, parcel: Parcel, error: BaseException | None, recipients: Sequence[QueuedRecipient]) -> None:
        """Something on our side."""

    def put_off(self, parcel: Parcel, recipient: QueuedRecipient, receiver: str) -> bool:
        """Whether nothing is to be sent to this provider, so that the recipient waits."""

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
        clock: Callable[[], float],
        lease_held: Callable[[], bool],
    ) -> None:
        self._ends = ends
        self._router = router
        self._pool = pool
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
            receiver = provider(route.hosts[0].name)
            recipients = [one for one in all_recipients if not self._ends.put_off(parcel, one, receiver)]
            if not recipients:
                continue
            try:
                if held:
                    self._send(parcel, signed, route, recipients)
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
            now = self._clock()
            for outcome in delivery.outcomes:
                recipient = recipients[outcome.recipient]
                self._ends.settle(parcel, recipient, outcome, told(delivery, outcome, now, recipient.path.notify))

        d.addCallback(sent)
        d.addErrback(self._failed, parcel, recipients)

    def _failed(self, failure: Failure, parcel: Parcel, recipients: Sequence[QueuedRecipient]) -> None:
        self._ends.fail(parcel, failure.value, recipients)
